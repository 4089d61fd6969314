// Whether a tie explains that another tool chose other winners. The other tool breaks ties by the id as text; ours by
// cost, then supporters, then lot. So we let the other's choice go first, tie by tie, and see whether its winners come
// out: by another lot where the lot decided, else by making that project cheaper by less than anyone could notice.
import { parseRational, rationalText, tally } from '@beamtime/governance/tally';

/** Ties looked at in a row, and lots drawn, before a difference counts as unexplained. */
const TIES_LIMIT = 12;
const LOTS_LIMIT = 64;
const NOTHING = { n: 1n, d: 10n ** 15n };

export const sameWinners = (a, b) => a.length === b.length && new Set([...a, ...b]).size === a.length;

/** The ties that together explain the difference; undefined when they do not. */
export function explainDifference(input, theirs) {
  return byLot(input, theirs) ?? byPreference(input, theirs);
}

function byLot(input, theirs) {
  for (let lot = 0; lot < LOTS_LIMIT; lot++) {
    const { winners } = count({ ...input, seed: `another lot ${lot}` });
    if (sameWinners(winners, theirs)) return count(input).ties.filter(({ by }) => by === 'lot');
  }
  return undefined;
}

function byPreference(input, theirs) {
  const explained = [];
  let favoured = input;
  for (let step = 0; step < TIES_LIMIT; step++) {
    const { winners, ties } = count(favoured);
    if (sameWinners(winners, theirs)) return explained;
    const tie = ties.find(({ tied, chosen }) => firstById(tied) !== chosen);
    if (!tie) return undefined;
    explained.push(tie);
    favoured = cheapen(favoured, firstById(tie.tied));
  }
  return undefined;
}

const firstById = (ids) => [...ids].sort()[0];

function cheapen(input, id) {
  return {
    ...input,
    projects: input.projects.map((project) => {
      if (project.id !== id) return project;
      const cost = parseRational(project.costs[0]);
      const less = { n: cost.n * NOTHING.d - NOTHING.n * cost.d, d: cost.d * NOTHING.d };
      return { ...project, costs: [rationalText(less)] };
    }),
  };
}

function count(input) {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return counted.value;
}
