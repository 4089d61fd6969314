import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DoubleMajorityVote, doubleMajority } from './double-majority.js';

const vote = (lab: string, contribution: number, cast: DoubleMajorityVote['vote'], inArrears = false) => ({
  lab,
  contribution: `${contribution}`,
  vote: cast,
  inArrears,
});

describe('a double majority', () => {
  it('needs two thirds of the labs, however much the few contribute', () => {
    const votes = [vote('big', 900, 'yes'), vote('a', 1, 'no'), vote('b', 1, 'no')];
    expect(doubleMajority({ votes })).toMatchObject({ adopted: false, reason: 'labs_short' });
  });

  it('needs two thirds of the contributions, however many labs agree', () => {
    const votes = [vote('big', 900, 'no'), vote('a', 1, 'yes'), vote('b', 1, 'yes'), vote('c', 1, 'yes')];
    expect(doubleMajority({ votes })).toMatchObject({ adopted: false, reason: 'contributions_short' });
  });

  it('is reached at exactly two thirds of both', () => {
    const votes = [vote('a', 1, 'yes'), vote('b', 1, 'yes'), vote('c', 1, 'no')];
    expect(doubleMajority({ votes })).toMatchObject({ adopted: true, labsYes: 2, contributionsYes: '2' });
  });

  it('does not hear labs in arrears, nor count abstentions', () => {
    const votes = [vote('a', 1, 'yes'), vote('b', 5, 'no', true), vote('c', 5, 'abstain')];
    expect(doubleMajority({ votes })).toMatchObject({ adopted: true, labsVoting: 1, barred: ['b'] });
  });

  it('adopts nothing below the quorum, and nothing when nobody votes', () => {
    expect(doubleMajority({ votes: [vote('a', 1, 'yes')], quorum: 2 }).reason).toBe('no_quorum');
    expect(doubleMajority({ votes: [] }).adopted).toBe(false);
    expect(doubleMajority({ votes: [vote('a', 1, 'abstain')] }).adopted).toBe(false);
  });

  const drawn = fc.array(
    fc.record({
      contribution: fc.nat({ max: 20 }),
      cast: fc.constantFrom<DoubleMajorityVote['vote'][]>('yes', 'no', 'abstain'),
      inArrears: fc.boolean(),
    }),
    { maxLength: 8 },
  );
  const votesOf = (
    list: readonly { contribution: number; cast: DoubleMajorityVote['vote']; inArrears: boolean }[],
  ) => list.map(({ contribution, cast, inArrears }, lab) => vote(`${lab}`, contribution, cast, inArrears));

  it('is never lost because a no turns into a yes, nor changed by the order of labs', () => {
    fc.assert(
      fc.property(drawn, fc.nat(), (list, which) => {
        const votes = votesOf(list);
        const { adopted } = doubleMajority({ votes });
        expect(doubleMajority({ votes: [...votes].reverse() }).adopted).toBe(adopted);
        const turned = votes.map((one, lab) =>
          lab === which % votes.length && one.vote === 'no' ? { ...one, vote: 'yes' as const } : one,
        );
        if (adopted) expect(doubleMajority({ votes: turned }).adopted).toBe(true);
      }),
    );
  });

  it('is exact: at a share of 1 one no is enough, and a third against is not', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 10 ** 6 }),
        (labs, contribution) => {
          const yes = Array.from({ length: 2 * labs }, (_, lab) => vote(`y${lab}`, contribution, 'yes'));
          const no = Array.from({ length: labs }, (_, lab) => vote(`n${lab}`, contribution, 'no'));
          expect(doubleMajority({ votes: [...yes, ...no] }).adopted).toBe(true);
          expect(doubleMajority({ votes: [...yes, ...no, vote('z', 1, 'no')] }).adopted).toBe(false);
          expect(doubleMajority({ votes: [...yes, vote('z', 0, 'no')], share: '1' }).adopted).toBe(false);
        },
      ),
    );
  });
});
