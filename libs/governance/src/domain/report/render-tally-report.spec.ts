import fc from 'fast-check';
import { expect, it } from 'vitest';
import { counterfactuals } from '../tally/counterfactuals.js';
import { tally } from '../tally/tally.js';
import type { TallyInput, TallyRule } from '../tally/tally-input.js';
import { drawElection } from '../tally/testing.js';
import { renderTallyReport } from './render-tally-report.js';

const rules: TallyRule[] = [
  { name: 'equal-shares', utility: 'cost', completion: 'add1u' },
  { name: 'equal-shares', utility: 'cardinality', completion: 'none', threshold: '2' },
  { name: 'phragmen', skip: false },
  { name: 'greedy', utility: 'cost', skip: false },
];

function reportOf(input: TallyInput): string {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return renderTallyReport(counted.value, counterfactuals(input), {
    voterLabels: new Map([['v0', 'Lab “Zero” <script>']]),
  });
}

it('names every proposal and says why each loser lost, by any rule and on ballots of any kind', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...rules),
      fc.boolean(),
      fc.boolean(),
      fc.integer(),
      (rule, points, weights, seed) => {
        const shape = { points, weights, variants: true, budgets: rule.name === 'phragmen' ? 1 : 2 };
        const [input] = fc.sample(drawElection(rule, shape), { numRuns: 1, seed });
        if (!input) return;
        const html = reportOf(input);
        for (const { name } of input.projects) expect(html).toContain(name);
        expect(html).not.toMatch(/NaN|undefined|Infinity|\[object/);
      },
    ),
  );
});

it('stands by itself: no script, no address, no file beside it; what people wrote is text', () => {
  const html = reportOf({
    title: 'Which suites? <b>All</b>',
    budgets: [{ resource: 'GPU-hours', amount: '100' }],
    projects: [
      { id: 'a', name: 'Attention & "more" <img src=x>', costs: ['60'] },
      { id: 'b', name: 'Byte models', costs: ['70'] },
    ],
    voters: [
      { id: 'v0', ballot: ['a'] },
      { id: 'v1', ballot: ['a'] },
      { id: 'v2', ballot: ['b'] },
    ],
    rule: { name: 'equal-shares', utility: 'cost', completion: 'none' },
    seed: 's',
  });
  expect(html).not.toMatch(/<script|<img|<b>|<link|src=["']|href=|https?:|url\(|@import/);
  expect(html).toContain('Attention &amp; &quot;more&quot; &lt;img src=x&gt;');
  expect(html).toContain('Lab “Zero” &lt;script&gt;');
  expect(html).toContain('2 paid 30 GPU-hours each');
  expect(html).toContain('Its supporters had 33.33 GPU-hours left of the 70 GPU-hours it costs');
  expect(html).toContain('What would have won under other rules');
});
