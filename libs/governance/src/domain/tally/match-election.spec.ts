import { expect, it } from 'vitest';
import { matchElection } from './match-election.js';
import { tally } from './tally.js';
import type { TallyInput } from './tally-input.js';

const election: TallyInput = {
  title: 'Suites',
  budgets: [
    { resource: 'H200-hours', amount: '10.5' },
    { resource: 'A100-hours', amount: '20' },
  ],
  projects: [
    { id: 'a', name: 'Attention', costs: ['4.25', '0'], exclusiveGroup: 'size' },
    { id: 'b', name: 'Bytes', costs: ['1', '8'] },
  ],
  voters: [
    { id: 'v', ballot: ['a', 'b'], scores: ['2', '1/2'], weight: '3' },
    { id: 'w', ballot: ['b'], scores: ['1'] },
  ],
  rule: { name: 'equal-shares', utility: 'cost', completion: 'add1', increment: '0.1' },
  seed: 's',
};

function verdictAbout(other: Partial<TallyInput>): string {
  const counted = tally(election);
  if (!counted.ok) throw new Error(counted.error.detail);
  const verdict = matchElection(counted.value.certificate, { ...election, ...other });
  return verdict.valid ? 'valid' : verdict.reason;
}

it('a certificate is about its own election, whatever way its numbers are written', () => {
  expect(verdictAbout({})).toBe('valid');
  const [first, ...rest] = election.budgets;
  expect(verdictAbout({ budgets: [{ resource: first?.resource ?? '', amount: '21/2' }, ...rest] })).toBe(
    'valid',
  );
  expect(verdictAbout({ voters: [...election.voters].reverse() })).toBe('valid');
});

const [v, w] = election.voters;
const [a, b] = election.projects;
it.each<[string, Partial<TallyInput>, RegExp]>([
  ['title', { title: 'Other' }, /another title/],
  [
    'budget',
    { budgets: [{ resource: 'H200-hours', amount: '10' }, ...election.budgets.slice(1)] },
    /budget of H200/,
  ],
  ['number of budgets', { budgets: election.budgets.slice(1) }, /number of budgets/],
  [
    'cost',
    {
      projects: [
        { id: 'a', name: 'Attention', costs: ['4', '0'], exclusiveGroup: 'size' },
        ...(b ? [b] : []),
      ],
    },
    /a another cost/,
  ],
  ['name', { projects: [...(a ? [a] : []), { id: 'b', name: 'Bits', costs: ['1', '8'] }] }, /b another name/],
  [
    'variants',
    { projects: [{ id: 'a', name: 'Attention', costs: ['4.25', '0'] }, ...(b ? [b] : [])] },
    /other variants/,
  ],
  ['number of projects', { projects: election.projects.slice(1) }, /number of projects/],
  ['number of voters', { voters: election.voters.slice(1) }, /number of voters/],
  ['voter', { voters: [...(v ? [v] : []), { id: 'x', ballot: ['b'] }] }, /leaves out voter x/],
  ['ballot', { voters: [...(v ? [v] : []), { id: 'w', ballot: ['a'] }] }, /w another ballot/],
  [
    'score',
    { voters: [{ id: 'v', ballot: ['a', 'b'], scores: ['2', '1'], weight: '3' }, ...(w ? [w] : [])] },
    /v another ballot/,
  ],
  [
    'weight',
    { voters: [{ id: 'v', ballot: ['a', 'b'], scores: ['2', '1/2'] }, ...(w ? [w] : [])] },
    /v another ballot or weight/,
  ],
])('an election with another %s is told apart', (_, other, reason) => {
  expect(verdictAbout(other)).toMatch(reason);
});
