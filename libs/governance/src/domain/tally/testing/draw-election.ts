import fc from 'fast-check';
import type { TallyInput, TallyProject, TallyRule, TallyVoter } from '../tally-input.js';

export interface ElectionShape {
  readonly budgets?: number;
  readonly points?: boolean;
  readonly weights?: boolean;
  readonly variants?: boolean;
  readonly maxVoters?: number;
  readonly maxProjects?: number;
}

/** Small elections with small numbers, in which ties and exactly exhausted purses are frequent. */
export function drawElection(rule: TallyRule, shape: ElectionShape = {}): fc.Arbitrary<TallyInput> {
  const budgets = shape.budgets ?? 1;
  return fc
    .record({
      amounts: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: budgets, maxLength: budgets }),
      projects: fc.array(drawProject(budgets, shape), { minLength: 1, maxLength: shape.maxProjects ?? 6 }),
      voters: fc.array(drawVoter(shape), { minLength: 1, maxLength: shape.maxVoters ?? 8 }),
      seed: fc.string({ maxLength: 4 }),
    })
    .map(({ amounts, projects, voters, seed }) => ({
      budgets: amounts.map((amount, r) => ({ resource: `gpu${r}`, amount: `${amount}` })),
      projects: projects.map(
        (project, p): TallyProject => ({ ...project, id: `p${p}`, name: `Project ${p}` }),
      ),
      voters: voters.map((drawn, v) => voterOf(drawn, v, projects.length, shape)),
      rule,
      seed,
    }));
}

function drawProject(budgets: number, shape: ElectionShape) {
  const cost = fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 1, max: 24 }) },
    { weight: 1, arbitrary: fc.constant(0) },
  );
  const costs = fc.array(cost.map(String), { minLength: budgets, maxLength: budgets });
  if (!shape.variants) return costs.map((drawn) => ({ costs: drawn }));
  return fc
    .record({ costs, group: fc.option(fc.constantFrom('a', 'b')) })
    .map(({ costs, group }) => (group === null ? { costs } : { costs, exclusiveGroup: group }));
}

interface DrawnVoter {
  readonly approves: readonly boolean[];
  readonly scores: readonly number[];
  readonly weight: number;
}

function drawVoter(shape: ElectionShape): fc.Arbitrary<DrawnVoter> {
  const most = shape.maxProjects ?? 6;
  return fc.record({
    approves: fc.array(fc.boolean(), { minLength: most, maxLength: most }),
    scores: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: most, maxLength: most }),
    weight: fc.integer({ min: 1, max: 4 }),
  });
}

function voterOf(drawn: DrawnVoter, v: number, projects: number, shape: ElectionShape): TallyVoter {
  const approved = drawn.approves.flatMap((yes, p) => (yes && p < projects ? [p] : []));
  return {
    id: `v${v}`,
    ballot: approved.map((p) => `p${p}`),
    ...(shape.points ? { scores: approved.map((p) => `${drawn.scores[p] ?? 1}`) } : {}),
    ...(shape.weights ? { weight: `${drawn.weight}` } : {}),
  };
}
