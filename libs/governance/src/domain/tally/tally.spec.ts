import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyCertificate } from '../../verify/verify-certificate.js';
import { type TallyResult, tally } from './tally.js';
import type { EqualSharesRule, TallyInput, TallyRule } from './tally-input.js';
import { drawElection } from './testing.js';

const shares: EqualSharesRule = { name: 'equal-shares', utility: 'cost', completion: 'none' };
const rules: [string, TallyRule][] = [
  ['equal shares by cost', shares],
  ['equal shares by cardinality', { ...shares, utility: 'cardinality' }],
  ['equal shares with add1', { ...shares, completion: 'add1' }],
  ['equal shares with add1u', { ...shares, completion: 'add1u' }],
  ['equal shares with phragmén', { ...shares, completion: 'phragmen' }],
  ['phragmén', { name: 'phragmen', skip: false }],
  ['phragmén with skip', { name: 'phragmen', skip: true }],
  ['greedy', { name: 'greedy', utility: 'cost', skip: true }],
  ['greedy without skip', { name: 'greedy', utility: 'cost', skip: false }],
  ['greedy by votes per cost', { name: 'greedy', utility: 'cardinality', skip: true }],
  ['greedy with a threshold', { name: 'greedy', utility: 'cost', skip: true, threshold: '3' }],
];

function count(input: TallyInput): TallyResult {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return counted.value;
}

const turned = <T>(list: readonly T[]): T[] => [...list].reverse();

describe.each(rules)('%s', (_, rule) => {
  const shape = { points: true, variants: true };

  it('has a certificate that verifies, also after a trip through JSON', () => {
    fc.assert(
      fc.property(drawElection(rule, { ...shape, weights: true }), (input) => {
        const { certificate } = count(input);
        expect(verifyCertificate(JSON.parse(JSON.stringify(certificate)))).toEqual({ valid: true });
      }),
    );
  });

  it('never spends more than there is, nor on what nobody supports', () => {
    fc.assert(
      fc.property(drawElection(rule, { ...shape, weights: true }), (input) => {
        const { winners } = count(input);
        const cost = input.projects
          .filter(({ id }) => winners.includes(id))
          .reduce((sum, { costs }) => sum + Number(costs[0]), 0);
        expect(cost).toBeLessThanOrEqual(Number(input.budgets[0]?.amount));
        for (const id of winners) expect(input.voters.some(({ ballot }) => ballot.includes(id))).toBe(true);
      }),
    );
  });

  it('lets at most one of exclusive variants win', () => {
    fc.assert(
      fc.property(drawElection(rule, shape), (input) => {
        const won = new Set(count(input).winners);
        const groups = input.projects.flatMap(({ id, exclusiveGroup }) =>
          won.has(id) && exclusiveGroup !== undefined ? [exclusiveGroup] : [],
        );
        expect(new Set(groups).size).toBe(groups.length);
      }),
    );
  });

  it('is anonymous: the order of voters changes not one byte, their ids not the winners', () => {
    fc.assert(
      fc.property(drawElection(rule, { ...shape, weights: true }), (input) => {
        const plain = count(input);
        expect(count({ ...input, voters: turned(input.voters) })).toEqual(plain);
        const renamed = turned(input.voters).map((voter, place) => ({ ...voter, id: `someone ${place}` }));
        expect(count({ ...input, voters: renamed }).winners).toEqual(plain.winners);
      }),
    );
  });

  it('is neutral: names and the order of the list never decide, only the lot may', () => {
    fc.assert(
      fc.property(drawElection(rule, shape), (input) => {
        const plain = count(input);
        const listed = count({ ...input, projects: turned(input.projects) });
        expect(listed.winners).toEqual(plain.winners);
        const rename = (id: string): string => `${9 - Number(id.slice(1))}`;
        const renamed = count({
          ...input,
          projects: input.projects.map((project) => ({ ...project, id: rename(project.id) })),
          voters: input.voters.map((voter) => ({ ...voter, ballot: voter.ballot.map(rename) })),
        });
        if (plain.ties.some(({ by }) => by === 'lot')) return;
        expect(renamed.winners).toEqual(plain.winners.map(rename));
      }),
    );
  });

  it('treats a voter of weight k as k voters', () => {
    fc.assert(
      fc.property(drawElection(rule, { ...shape, weights: true }), (input) => {
        const clones = input.voters.flatMap(({ id, ballot, scores, weight }) =>
          Array.from({ length: Number(weight) }, (_, clone) => ({
            id: `${id} ${clone}`,
            ballot,
            ...(scores ? { scores } : {}),
          })),
        );
        expect(count({ ...input, voters: clones }).winners).toEqual(count(input).winners);
      }),
    );
  });

  it('asks only for the ratio of budgets and costs, not for their unit, but for the increment of Add1', () => {
    fc.assert(
      fc.property(drawElection(rule, shape), (input) => {
        const inCents = (text: string): string => `${Number(text) * 100}`;
        const scaled: TallyInput = {
          ...input,
          rule: rule.name === 'equal-shares' ? { ...rule, increment: '100' } : rule,
          budgets: input.budgets.map(({ resource, amount }) => ({ resource, amount: inCents(amount) })),
          projects: input.projects.map((project) => ({ ...project, costs: project.costs.map(inCents) })),
        };
        expect(count(scaled).winners).toEqual(count(input).winners);
      }),
    );
  });
});

describe('proportionality of Equal Shares', () => {
  it('a group that owns the cost of a project and supports nothing else gets it, in several budgets too', () => {
    fc.assert(
      fc.property(
        drawElection(shares, { budgets: 2, weights: true, maxVoters: 10 }),
        fc.nat(),
        fc.nat(),
        (input, which, size) => {
          const project = input.projects[which % input.projects.length];
          if (!project) return;
          const members = 1 + (size % input.voters.length);
          const voters = input.voters.map((voter, place) =>
            place < members ? { ...voter, ballot: [project.id] } : voter,
          );
          const weigh = (list: typeof voters) => list.reduce((sum, { weight }) => sum + Number(weight), 0);
          const group = weigh(voters.filter(({ ballot }) => ballot.join() === project.id));
          const owns = project.costs.every(
            (cost, r) => group * Number(input.budgets[r]?.amount) >= weigh(voters) * Number(cost),
          );
          if (owns) expect(count({ ...input, voters }).winners).toContain(project.id);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('satisfies EJR+ up to one project: no group that agrees on a loser is short of its share (brute force)', () => {
    fc.assert(
      fc.property(
        drawElection(shares, { weights: true, maxVoters: 7 }),
        fc.constantFrom<TallyRule>(
          shares,
          { ...shares, completion: 'add1' },
          { ...shares, completion: 'add1u' },
        ),
        (drawn, rule) => {
          const input = { ...drawn, rule };
          const won = new Set(count(input).winners);
          const budget = Number(input.budgets[0]?.amount);
          const costOf = (id: string) =>
            Number(input.projects.find((project) => project.id === id)?.costs[0]);
          const voters = input.voters.map(({ ballot, weight }) => ({
            ballot,
            weight: Number(weight),
            satisfaction: ballot.filter((id) => won.has(id)).reduce((sum, id) => sum + costOf(id), 0),
          }));
          const all = voters.reduce((sum, { weight }) => sum + weight, 0);
          for (const { id } of input.projects.filter((project) => !won.has(project.id))) {
            const supporters = voters.filter(({ ballot }) => ballot.includes(id));
            for (let members = 1; members < 2 ** supporters.length; members++) {
              const group = supporters.filter((_, place) => (members >> place) & 1);
              const share = group.reduce((sum, { weight }) => sum + weight, 0) * budget;
              const best = Math.max(...group.map(({ satisfaction }) => satisfaction));
              expect((best + costOf(id)) * all).toBeGreaterThan(share);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('ties', () => {
  const tie = (costs: readonly string[], ballots: readonly string[][], seed: string): TallyInput => ({
    budgets: [{ resource: 'eur', amount: '12' }],
    projects: costs.map((cost, p) => ({ id: `p${p}`, name: '', costs: [cost] })),
    voters: ballots.map((ballot, v) => ({ id: `v${v}`, ballot })),
    rule: { name: 'greedy', utility: 'cost', skip: true },
    seed,
  });

  it('go to the cheaper project', () => {
    const { winners, ties } = count(tie(['9', '8'], [['p0'], ['p1']], ''));
    expect(winners).toEqual(['p1']);
    expect(ties).toEqual([{ round: 1, tied: ['p1', 'p0'], chosen: 'p1', by: 'cost' }]);
  });

  it('go to the better supported of equally dear ones', () => {
    const input = tie(['8', '8'], [['p0', 'p1'], ['p1'], ['p0']], '');
    const voters = input.voters.map((voter, v) => ({
      ...voter,
      scores: v === 0 ? ['2', '1'] : v === 1 ? ['3'] : ['1'],
    }));
    const more = [...voters, { id: 'v3', ballot: ['p0'], scores: ['1'] }];
    expect(count({ ...input, voters: more }).ties[0]).toMatchObject({ chosen: 'p0', by: 'supporters' });
  });

  it('are else decided by a lot that the seed draws: either may win, and the same seed always draws the same', () => {
    const first = (seed: string) => count(tie(['8', '8'], [['p0'], ['p1']], seed)).winners[0];
    const seen = new Set(Array.from({ length: 40 }, (_, seed) => first(`${seed}`)));
    expect(seen).toEqual(new Set(['p0', 'p1']));
    expect(first('x')).toBe(first('x'));
    expect(count(tie(['8', '8'], [['p0'], ['p1']], 'x')).ties[0]?.by).toBe('lot');
  });
});

describe('what cannot be counted', () => {
  const good: TallyInput = {
    budgets: [{ resource: 'eur', amount: '10' }],
    projects: [{ id: 'p', name: '', costs: ['5'] }],
    voters: [{ id: 'v', ballot: ['p'] }],
    rule: shares,
    seed: '',
  };

  it.each<[string, Partial<TallyInput>, RegExp]>([
    ['no budget', { budgets: [] }, /no budget/],
    ['a budget of zero', { budgets: [{ resource: 'eur', amount: '0' }] }, /above zero/],
    ['no projects', { projects: [] }, /no project/],
    ['nobody', { voters: [] }, /nobody voted/],
    ['a negative cost', { projects: [{ id: 'p', name: '', costs: ['-5'] }] }, /negative/],
    ['a cost that is no amount', { projects: [{ id: 'p', name: '', costs: ['five'] }] }, /not an amount/],
    ['a cost missing', { projects: [{ id: 'p', name: '', costs: [] }] }, /one cost for each/],
    ['a project twice', { projects: [...good.projects, ...good.projects] }, /appears twice/],
    ['a voter twice', { voters: [...good.voters, ...good.voters] }, /more than one ballot/],
    ['a project twice in a ballot', { voters: [{ id: 'v', ballot: ['p', 'p'] }] }, /twice/],
    ['an unknown project', { voters: [{ id: 'v', ballot: ['q'] }] }, /unknown project q/],
    ['a weight of zero', { voters: [{ id: 'v', weight: '0', ballot: [] }] }, /weight above zero/],
    ['a score of zero', { voters: [{ id: 'v', ballot: ['p'], scores: ['0'] }] }, /no score above zero/],
    ['too few scores', { voters: [{ id: 'v', ballot: ['p'], scores: [] }] }, /0 scores to 1 projects/],
    ['weights beyond 53 bits', { voters: [{ id: 'v', weight: '1e20', ballot: ['p'] }] }, /53 bits/],
    ['a negative threshold', { rule: { ...shares, threshold: '-1' } }, /threshold/],
    ['an increment of zero', { rule: { ...shares, increment: '0' } }, /increment/],
  ])('%s is refused with a reason', (_, change, reason) => {
    const counted = tally({ ...good, ...change });
    expect(counted.ok ? '' : counted.error.detail).toMatch(reason);
  });

  it('several budgets by Phragmén are refused', () => {
    const budgets = [...good.budgets, { resource: 'usd', amount: '1' }];
    const projects = [{ id: 'p', name: '', costs: ['5', '1'] }];
    const counted = tally({ ...good, budgets, projects, rule: { name: 'phragmen', skip: true } });
    expect(counted.ok).toBe(false);
  });
});
