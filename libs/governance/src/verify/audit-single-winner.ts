import type { SchulzeInput, SchulzeOutcome } from '../domain/tally/schulze.js';
import { canonicalText, demand, equal, less, sha256, total } from './audit-arithmetic.js';

/** Finds the winner of a ranking again, by another way than the rule does. */
export function auditSingleWinner(input: SchulzeInput, said: SchulzeOutcome): void {
  const names = [...input.options, input.defaultOption];
  demand(new Set(names).size === names.length, 'an option stands twice');
  demand(new Set(input.ballots.map(({ id }) => id)).size === input.ballots.length, 'a voter has two ballots');
  demand(canonicalText(said.order) === canonicalText(names), 'the options of the matrix are others');
  const prefer = names.map((a) =>
    names.map((b) =>
      total(
        input.ballots
          .filter(({ ranking }) => a !== b && place(ranking, a) < place(ranking, b))
          .map(({ weight }) => weight ?? '1'),
      ),
    ),
  );
  const votes = (a: number, b: number): string => prefer[a]?.[b] ?? '0';
  for (const [a, row] of prefer.entries()) {
    for (const [b, value] of row.entries())
      demand(
        equal(said.preferences[a]?.[b] ?? '', value),
        `the votes for ${names[a]} over ${names[b]} are miscounted`,
      );
  }
  const none = names.length - 1;
  const standing = names
    .map((_, i) => i)
    .filter(
      (i) => i === none || (!less(votes(i, none), input.quorum) && less(votes(none, i), votes(i, none))),
    );
  const reach = strengths(standing, votes);
  const rank = (a: number, b: number): number => reach.get(a * names.length + b) ?? Number.POSITIVE_INFINITY;
  const level = standing.filter((a) => standing.every((b) => rank(b, a) >= rank(a, b)));
  demand(
    canonicalText(said.level) === canonicalText(level.map((i) => names[i])),
    'the options that nothing beats are others',
  );
  const proposals = level.filter((i) => i !== none);
  const drawn =
    [...proposals].sort((a, b) => (lot(input, names[a]) < lot(input, names[b]) ? -1 : 1))[0] ?? none;
  demand(said.winner === names[drawn], `${names[drawn]} wins by these ballots`);
  demand(
    said.losers.length === names.length - (drawn === none ? 1 : 2),
    'an option is missing among the losers',
  );
  for (const { option, reason } of said.losers) {
    const i = names.indexOf(option);
    const dropped = !standing.includes(i);
    demand(i >= 0 && i !== drawn && i !== none, `${option} is no loser`);
    const why = less(votes(i, none), input.quorum) ? 'below_quorum' : 'not_above_default';
    demand(
      dropped ? reason.code === why : reason.code === 'beaten' || level.includes(i),
      `the reason why ${option} lost is another`,
    );
    if (reason.code === 'beaten') {
      const by = names.indexOf(reason.by);
      demand(standing.includes(by) && rank(by, i) < rank(i, by), `${reason.by} does not beat ${option}`);
    }
  }
}

const place = (ranking: readonly (readonly string[])[], option: string): number => {
  const tier = ranking.findIndex((options) => options.includes(option));
  return tier < 0 ? ranking.length : tier;
};
const lot = (input: SchulzeInput, option: string | undefined): string =>
  sha256(`beamtime lot\n${input.seed}\n${option}`);

/**
 * For each pair that a path of defeats joins, the rank of the strongest path's weakest defeat (0 is the strongest
 * defeat of all): defeats are let in from the strongest down, and a pair gets the rank at which it is first joined.
 */
function strengths(options: readonly number[], votes: (a: number, b: number) => string): Map<number, number> {
  const size = Math.max(...options) + 1;
  const defeats = options.flatMap((a) =>
    options.filter((b) => less(votes(b, a), votes(a, b))).map((b) => ({ a, b })),
  );
  const before = (x: { a: number; b: number }, y: { a: number; b: number }): boolean =>
    less(votes(y.a, y.b), votes(x.a, x.b)) ||
    (equal(votes(x.a, x.b), votes(y.a, y.b)) && less(votes(x.b, x.a), votes(y.b, y.a)));
  const ranked = defeats
    .map((defeat) => ({ ...defeat, rank: defeats.filter((other) => before(other, defeat)).length }))
    .sort((x, y) => x.rank - y.rank);
  const joined = new Map<number, number>();
  const admitted = new Map<number, number[]>();
  for (let i = 0; i < ranked.length; ) {
    const { rank } = ranked[i] as { rank: number };
    for (; ranked[i]?.rank === rank; i++) {
      const { a, b } = ranked[i] as { a: number; b: number };
      admitted.set(a, [...(admitted.get(a) ?? []), b]);
    }
    for (const start of options) {
      const seen = new Set<number>();
      const queue = [...(admitted.get(start) ?? [])];
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        if (seen.has(next)) continue;
        seen.add(next);
        queue.push(...(admitted.get(next) ?? []));
      }
      for (const end of seen) if (!joined.has(start * size + end)) joined.set(start * size + end, rank);
    }
  }
  return joined;
}
