import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RankedBallot, type SchulzeInput, schulze } from './schulze.js';

const ballots = (counts: readonly [number, string][]): RankedBallot[] =>
  counts.flatMap(([count, ranking], kind) =>
    Array.from({ length: count }, (_, copy) => ({
      id: `${kind}-${copy}`,
      ranking: ranking.split('>').map((tier) => tier.split('=').filter((option) => option !== '')),
    })),
  );

const election = (options: string, counts: readonly [number, string][], quorum = '0'): SchulzeInput => ({
  options: [...options],
  defaultOption: 'none',
  quorum,
  ballots: ballots(counts),
  seed: 's',
});

describe('Schulze', () => {
  it('finds the winner of the example in his paper (45 voters, A to E): E', () => {
    const outcome = schulze(
      election('ABCDE', [
        [5, 'A>C>B>E>D'],
        [5, 'A>D>E>C>B'],
        [8, 'B>E>D>A>C'],
        [3, 'C>A>B>E>D'],
        [7, 'C>A>E>B>D'],
        [2, 'C>B>A>D>E'],
        [7, 'D>C>E>B>A'],
        [8, 'E>B>A>D>C'],
      ]),
    );
    expect(outcome.winner).toBe('E');
    expect(outcome.level).toEqual(['E']);
  });

  it('drops what does not beat the default option, even if it beats all else', () => {
    const outcome = schulze(
      election('AB', [
        [4, 'A>none>B'],
        [5, 'none>A>B'],
      ]),
    );
    expect(outcome.winner).toBe('none');
    expect(outcome.losers[0]).toEqual({
      option: 'A',
      reason: { code: 'not_above_default', votes: '4', against: '5' },
    });
  });

  it('drops what too few prefer to the default option', () => {
    const outcome = schulze(
      election(
        'AB',
        [
          [2, 'A>none'],
          [3, 'B'],
        ],
        '3',
      ),
    );
    expect(outcome.winner).toBe('B');
    expect(outcome.losers).toEqual([{ option: 'A', reason: { code: 'below_quorum', votes: '2' } }]);
  });

  it('takes what is not ranked as last, and equals as equal', () => {
    const { preferences, order } = schulze(election('ABC', [[1, 'A=B']]));
    expect(order).toEqual(['A', 'B', 'C', 'none']);
    expect(preferences).toEqual([
      ['0', '0', '1', '1'],
      ['0', '0', '1', '1'],
      ['0', '0', '0', '0'],
      ['0', '0', '0', '0'],
    ]);
  });

  it('decides a perfect tie by the lot of the seed', () => {
    const tied = election('AB', [
      [1, 'A>B>none'],
      [1, 'B>A>none'],
    ]);
    const winners = new Set(
      Array.from({ length: 30 }, (_, seed) => schulze({ ...tied, seed: `${seed}` }).winner),
    );
    expect(winners).toEqual(new Set(['A', 'B']));
    const outcome = schulze(tied);
    expect(outcome.level).toEqual(['A', 'B']);
    expect(outcome.losers[0]?.reason.code).toBe('lot');
  });
});

const drawn = fc
  .array(
    fc.record({
      order: fc.shuffledSubarray(['A', 'B', 'C', 'D', 'none']),
      weight: fc.integer({ min: 1, max: 3 }).map(String),
    }),
    { minLength: 1, maxLength: 9 },
  )
  .map((list) =>
    list.map(({ order, weight }, v) => ({ id: `${v}`, weight, ranking: order.map((one) => [one]) })),
  );
const among = (list: readonly RankedBallot[]): SchulzeInput => ({
  options: ['A', 'B', 'C', 'D'],
  defaultOption: 'none',
  quorum: '0',
  ballots: list,
  seed: 's',
});

describe('properties of Schulze', () => {
  it('elects whoever beats everyone else, and never whom everyone else beats', () => {
    fc.assert(
      fc.property(drawn, (list) => {
        const { winner, order, preferences } = schulze(among(list));
        const beats = (a: number, b: number) => Number(preferences[a]?.[b]) > Number(preferences[b]?.[a]);
        const all = order.map((_, option) => option);
        const champion = all.find((a) => all.every((b) => a === b || beats(a, b)));
        if (champion !== undefined) expect(winner).toBe(order[champion]);
        const last = all.find((a) => all.every((b) => a === b || beats(b, a)));
        if (last !== undefined) expect(winner).not.toBe(order[last]);
      }),
    );
  });

  it('is anonymous, and neutral where no lot is drawn', () => {
    fc.assert(
      fc.property(drawn, (list) => {
        const plain = schulze(among(list));
        expect(schulze(among([...list].reverse())).winner).toBe(plain.winner);
        expect(schulze({ ...among(list), options: ['D', 'B', 'A', 'C'] }).winner).toBe(plain.winner);
        if (plain.level.length > 1) return;
        const rename = (option: string) => (option === 'none' ? option : `x${'DCBA'.indexOf(option)}`);
        const renamed = list.map((one) => ({ ...one, ranking: one.ranking.map((tier) => tier.map(rename)) }));
        const options = among(list).options.map(rename);
        expect(schulze({ ...among(renamed), options }).winner).toBe(rename(plain.winner));
      }),
    );
  });

  it('treats weight k as k ballots', () => {
    fc.assert(
      fc.property(drawn, (list) => {
        const clones = list.flatMap(({ id, ranking, weight }) =>
          Array.from({ length: Number(weight) }, (_, copy) => ({ id: `${id} ${copy}`, ranking })),
        );
        const { winner, preferences } = schulze(among(clones));
        expect({ winner, preferences }).toMatchObject({ winner: schulze(among(list)).winner });
      }),
    );
  });

  it('is independent of clones: copies of a loser beside it never change which family wins', () => {
    fc.assert(
      fc.property(drawn, (list) => {
        const plain = schulze(among(list));
        if (plain.level.length > 1) return;
        const doubled = list.map((one) => ({
          ...one,
          ranking: one.ranking.flatMap((tier) => (tier[0] === 'B' ? [['B'], ['B2']] : [tier])),
        }));
        const outcome = schulze({ ...among(doubled), options: ['A', 'B', 'B2', 'C', 'D'] });
        if (outcome.level.length > 1) return;
        expect(outcome.winner.replace('2', '')).toBe(plain.winner);
      }),
    );
  });

  it('never turns a winner into a loser because somebody ranks it higher', () => {
    fc.assert(
      fc.property(drawn, fc.nat(), (list, which) => {
        const plain = schulze(among(list));
        if (plain.level.length > 1) return;
        const raised = list.map((one, v) =>
          v === which % list.length
            ? {
                ...one,
                ranking: [[plain.winner], ...one.ranking.filter(([option]) => option !== plain.winner)],
              }
            : one,
        );
        expect(schulze(among(raised)).level).toContain(plain.winner);
      }),
    );
  });
});
