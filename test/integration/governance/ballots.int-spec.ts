import {
  type BallotContent,
  cancelRound,
  castBallot,
  dismissDeputy,
  getMyBallots,
  getResult,
  getRound,
  listBallots,
  nameDeputy,
  ProblemError,
} from '@beamtime/contracts';
import type { LabId } from '@beamtime/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Consortium, codeOf, type LabForTest, type Person } from './consortium.js';

let consortium: Consortium;
let a: LabForTest;
let b: LabForTest;
beforeAll(async () => {
  consortium = await Consortium.open();
  a = await consortium.lab('lab-a');
  b = await consortium.lab('lab-b');
});
afterAll(() => consortium.close());

async function openRound(charter: Parameters<Consortium['round']>[0] = {}) {
  const round = await consortium.round({ deliberation: false, ...charter });
  await consortium.pledge(round, a, 4_000);
  await consortium.pledge(round, b, 4_000);
  await consortium.move(round, 'proposing');
  const one = await consortium.proposeSuite(round, a, 'suite-one', { models: 4 });
  const two = await consortium.proposeSuite(round, b, 'suite-two', { models: 3 });
  const params = { roundId: round.roundId };
  return {
    round,
    params,
    one,
    two,
    approve: (...ids: string[]): BallotContent => ({ kind: 'approval', approve: ids }),
  };
}

describe('a ballot', () => {
  it('replaces the earlier one of the same voter and says so', async () => {
    const { round, params, one, two, approve } = await openRound();
    await consortium.move(round, 'voting');
    const first = await consortium.vote(a.delegate, round, approve(one));
    const second = await consortium.vote(a.delegate, round, approve(two));
    expect([first.replaced, second.replaced]).toEqual([false, true]);
    expect(second.message).toMatch(/takes the place of the one before/);
    expect(second.ballot).toMatchObject({ ballotId: first.ballot.ballotId, revision: 2 });
    await consortium.move(round, 'counting');
    const { items } = await consortium.anonymous.call(listBallots, { params });
    expect(items.map(({ content }) => content)).toEqual([approve(two)]);
  });

  it('is refused with a reason from strangers, before the opening, after the close and for what is not proposed', async () => {
    const { round, one, two, approve } = await openRound();
    const vote = (person: Person, content: BallotContent) => codeOf(consortium.vote(person, round, content));
    expect(await vote(a.delegate, approve(one))).toBe('governance.round-not-open');
    await consortium.move(round, 'voting');
    expect(await vote(a.researcher, approve(one))).toBe('governance.not-on-roll');
    expect(await vote(consortium.secretariat, approve(one))).toBe('governance.not-on-roll');
    expect(await codeOf(consortium.vote(a.delegate, round, approve(one), b.labId))).toBe(
      'governance.not-on-roll',
    );
    expect(await vote(a.delegate, approve(one, one))).toBe('governance.invalid-ballot');
    expect(await vote(a.delegate, approve(`prp_${'0'.repeat(26)}`))).toBe('governance.invalid-ballot');
    expect(await vote(a.delegate, { kind: 'points', points: { [two]: 3 } })).toBe(
      'governance.invalid-ballot',
    );
    const nonsense = { kind: 'approval', approve: 'everything' } as unknown as BallotContent;
    expect(await vote(a.delegate, nonsense)).toBe('request.invalid');
    expect(
      await codeOf(
        consortium.anonymous.call(castBallot, {
          params: { roundId: round.roundId },
          body: { content: approve(one) },
        }),
      ),
    ).toBe('auth.required');
    await consortium.move(round, 'counting');
    expect(await vote(a.delegate, approve(one))).toBe('governance.round-not-open');
  });

  it('is secret until the close, also from the secretariat and in every number that is shown', async () => {
    const { round, params, one, approve } = await openRound();
    await consortium.move(round, 'voting');
    const before = await consortium.secretariat.api.call(getRound, { params });
    await consortium.vote(a.delegate, round, approve(one));
    expect(await consortium.secretariat.api.call(getRound, { params })).toEqual(before);
    for (const api of [consortium.secretariat.api, b.delegate.api, a.researcher.api, consortium.anonymous]) {
      expect(await codeOf(api.call(listBallots, { params }))).toBe('governance.ballots-secret');
    }
    expect((await consortium.secretariat.api.call(getMyBallots, { params })).votes).toEqual([]);
    const mine = await a.delegate.api.call(getMyBallots, { params });
    expect(mine.votes.map(({ ballot }) => ballot?.content)).toEqual([approve(one)]);
    await consortium.move(round, 'counting');
    expect((await consortium.anonymous.call(listBallots, { params })).total).toBe(1);
  });

  it('of a points round gives no more points than a voter has', async () => {
    const { round, one, two } = await openRound({ ballot: 'points', pointsPerVoter: 10 });
    await consortium.move(round, 'voting');
    const points = (x: number, y: number): BallotContent => ({
      kind: 'points',
      points: { [one]: x, [two]: y },
    });
    expect(await codeOf(consortium.vote(a.delegate, round, points(8, 3)))).toBe('governance.invalid-ballot');
    await consortium.vote(a.delegate, round, points(8, 2));
    await consortium.vote(b.delegate, round, points(10, 0));
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result.winners.map(({ proposalId }) => proposalId)).toContain(one);
  });
});

describe('a cancelled round', () => {
  it('never publishes its ballots, and a closed one can no longer be cancelled', async () => {
    const cancel = (roundId: string) =>
      consortium.secretariat.api.call(cancelRound, {
        params: { roundId },
        body: { reason: 'A pledge was withdrawn' },
      });
    const { round, params, one, approve } = await openRound();
    await consortium.move(round, 'voting');
    await consortium.vote(a.delegate, round, approve(one));
    expect((await cancel(round.roundId)).state).toBe('cancelled');
    expect(await codeOf(consortium.vote(a.delegate, round, approve()))).toBe('governance.round-not-open');
    expect(await codeOf(consortium.anonymous.call(listBallots, { params }))).toBe(
      'governance.ballots-secret',
    );
    expect(await codeOf(consortium.anonymous.call(getResult, { params }))).toBe('governance.not-decided');
    expect(await codeOf(consortium.move(round, 'counting'))).toBe('state.illegal-transition');

    const closed = await openRound();
    await consortium.move(closed.round, 'voting');
    await consortium.move(closed.round, 'counting');
    expect(await codeOf(cancel(closed.round.roundId))).toBe('state.illegal-transition');
  });
});

describe('delegation', () => {
  it('lets a named deputy cast the vote of a lab, and the ballot shows the chain', async () => {
    const { round, params, one, approve } = await openRound();
    const name = (person: Person, voterId: LabId) =>
      codeOf(person.api.call(nameDeputy, { params, body: { voterId, deputyId: a.researcher.personId } }));
    expect(await name(a.researcher, a.labId)).toBe('governance.not-on-roll');
    expect(await name(b.delegate, a.labId)).toBe('governance.not-on-roll');
    await consortium.move(round, 'voting');
    expect(await name(a.delegate, a.labId)).toBe('done');
    const cast = await consortium.vote(a.researcher, round, approve(one));
    expect(cast.ballot).toMatchObject({
      voterId: a.labId,
      labId: a.labId,
      castBy: a.researcher.personId,
      assurance: 'local',
      chain: [
        { from: a.labId, to: a.delegate.personId, as: 'delegate' },
        { from: a.delegate.personId, to: a.researcher.personId, as: 'named-deputy' },
      ],
    });
    // The delegate can still change it: it is the lab's one vote.
    expect((await consortium.vote(a.delegate, round, approve())).replaced).toBe(true);
    await a.delegate.api.call(dismissDeputy, { params: { ...params, voterId: a.labId } });
    expect(await codeOf(consortium.vote(a.researcher, round, approve(one)))).toBe('governance.not-on-roll');
  });

  it('asks for whom somebody votes who holds two votes', async () => {
    const { round, params, one, approve } = await openRound();
    await a.delegate.api.call(nameDeputy, {
      params,
      body: { voterId: a.labId, deputyId: b.delegate.personId },
    });
    await consortium.move(round, 'voting');
    expect(await codeOf(consortium.vote(b.delegate, round, approve(one)))).toBe('governance.invalid-ballot');
    await consortium.vote(b.delegate, round, approve(one), a.labId);
    await consortium.vote(b.delegate, round, approve(one), b.labId);
    const mine = await b.delegate.api.call(getMyBallots, { params });
    expect(mine.votes.filter(({ ballot }) => ballot !== null)).toHaveLength(2);
  });

  it('is refused where the charter allows no deputies, also to those who hold the role', async () => {
    const deputy = await consortium.person('deputy@lab-a.org', [{ labId: a.labId, role: 'deputy' }]);
    const allowed = await openRound();
    const refused = await openRound({ deputies: false });
    await consortium.move(allowed.round, 'voting');
    await consortium.move(refused.round, 'voting');
    const cast = await consortium.vote(deputy, allowed.round, allowed.approve(allowed.one));
    expect(cast.ballot.chain).toEqual([{ from: a.labId, to: deputy.personId, as: 'deputy' }]);
    expect(await codeOf(consortium.vote(deputy, refused.round, refused.approve(refused.one)))).toBe(
      'governance.not-on-roll',
    );
    const naming = a.delegate.api.call(nameDeputy, {
      params: refused.params,
      body: { voterId: a.labId, deputyId: deputy.personId },
    });
    expect(await codeOf(naming)).toBe('governance.deputies-not-allowed');
  });
});

describe('500 voters', () => {
  const voterCount = 500;
  /** Of the 1000 ballots in flight; the others meet the close at every point of their way. */
  const closeAfter = 400;

  it('cast and change ballots while the round closes, and each is counted once or refused', async () => {
    const labC = await consortium.lab('lab-c');
    const voters: Person[] = [];
    for (let n = 0; n < voterCount; n++) {
      voters.push(
        await consortium.person(`voter-${n}@lab-c.org`, [{ labId: labC.labId, role: 'researcher' }]),
      );
    }
    const { round, params, one, two, approve } = await openRound({ voters: 'members' });
    await consortium.move(round, 'voting');
    const last = new Map<string, string>();
    const refused: string[] = [];
    let cast = 0;
    let soundEnough: () => void = () => undefined;
    const enough = new Promise<void>((resolve) => {
      soundEnough = resolve;
    });
    const castOnce = async (voter: Person, id: string): Promise<void> => {
      try {
        const { ballot } = await consortium.vote(voter, round, approve(id));
        const before = last.get(voter.personId);
        // Of two answers to one voter the later revision is what lies in the box.
        const revision = ballot.revision.toString().padStart(6, '0');
        const stamped = `${revision} ${id}`;
        if (before === undefined || before < stamped) last.set(voter.personId, stamped);
        cast += 1;
        if (cast === closeAfter) soundEnough();
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error;
        refused.push(error.problem.code);
      }
    };
    const casting = voters.flatMap((voter) => [castOnce(voter, one), castOnce(voter, two)]);
    await Promise.all([...casting, enough.then(() => consortium.move(round, 'counting'))]);
    await consortium.decided(round);

    expect(new Set(refused)).toEqual(new Set(['governance.round-not-open']));
    expect(cast).toBeGreaterThanOrEqual(closeAfter);
    const published = new Map<string, string>();
    let after: string | undefined;
    do {
      const page = await consortium.anonymous.call(listBallots, { params, query: { limit: 200, after } });
      for (const ballot of page.items) {
        const { content } = ballot;
        const choice = content.kind === 'approval' ? content.approve[0] : undefined;
        published.set(ballot.voterId, `${ballot.revision.toString().padStart(6, '0')} ${choice}`);
      }
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(published).toEqual(last);
    const result = await consortium.anonymous.call(getResult, { params });
    expect(result.turnout.ballots).toBe(last.size);
    expect(cast + refused.length).toBe(2 * voterCount);
    expect(refused.length).toBeGreaterThan(0);
  }, 120_000);
});
