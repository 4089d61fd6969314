import {
  amendCharter,
  type BallotContent,
  getCertificate,
  getResult,
  getRound,
  listAdoptedSuites,
  listRoundEvents,
  type RoundView,
  releaseSuite,
} from '@beamtime/contracts';
import { CountRounds } from '@beamtime/governance';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Consortium, codeOf, designOf, type LabForTest } from './consortium.js';

let consortium: Consortium;
let a: LabForTest;
let b: LabForTest;
beforeAll(async () => {
  consortium = await Consortium.open();
  a = await consortium.lab('lab-a');
  b = await consortium.lab('lab-b');
});
afterAll(() => consortium.close());

const approve = (...ids: string[]): BallotContent => ({ kind: 'approval', approve: ids });

async function votedRound(charter: Parameters<Consortium['round']>[0] = {}) {
  const round = await consortium.round({ deliberation: false, ...charter });
  await consortium.pledge(round, a, 3_000);
  await consortium.pledge(round, b, 1_000);
  await consortium.move(round, 'proposing');
  const one = await consortium.proposeSuite(round, a, 'suite-one', { models: 2 });
  const two = await consortium.proposeSuite(round, b, 'suite-two', { models: 2 });
  await consortium.move(round, 'voting');
  await consortium.vote(a.delegate, round, approve(one));
  await consortium.vote(b.delegate, round, approve(one, two));
  return { round, one, two, params: { roundId: round.roundId } };
}

const sql = (text: string, parameters: unknown[] = []) =>
  consortium.transactor.do((tx) => tx.rows<Record<string, unknown>>(text, parameters));
const factsOf = async (round: RoundView): Promise<string[]> =>
  (
    await sql(`SELECT type FROM platform.outbox WHERE payload->>'roundId' = $1 ORDER BY xid, id`, [
      round.roundId,
    ])
  ).map((row) => String(row['type']));

describe('the count', () => {
  it('that fails in the middle leaves nothing behind and is resumed', async () => {
    const { round, params } = await votedRound();
    await sql(`CREATE FUNCTION public.fail_tally() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
      CREATE TRIGGER fail_tally BEFORE INSERT ON governance.tally FOR EACH ROW EXECUTE FUNCTION public.fail_tally()`);
    await consortium.move(round, 'counting');
    await new Promise((resolve) => setTimeout(resolve, 400));
    const stuck = await consortium.anonymous.call(getRound, { params });
    expect([stuck.state, stuck.certificateSha256]).toEqual(['counting', null]);
    expect(await factsOf(round)).toEqual([]);
    await sql('DROP TRIGGER fail_tally ON governance.tally');
    await consortium.decided(round);
    expect(await factsOf(round)).toEqual(['round.funded', 'round.decided']);
  });

  it('whose connection is killed in the middle decides once, as if nothing had been', async () => {
    const { round, params } = await votedRound();
    await sql(`CREATE FUNCTION public.slow_tally() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$;
      CREATE TRIGGER slow_tally BEFORE INSERT ON governance.tally FOR EACH ROW EXECUTE FUNCTION public.slow_tally()`);
    await consortium.move(round, 'counting');
    const victims = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
      AND query LIKE 'INSERT INTO governance.tally%' AND state = 'active'`;
    while ((await sql(victims)).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    // The reconciler is soon at it again: kill it until the trigger is gone.
    let gone = false;
    const dropping = sql('DROP TRIGGER slow_tally ON governance.tally').then(() => {
      gone = true;
    });
    while (!gone) {
      await sql(`SELECT pg_terminate_backend(pid) FROM (${victims}) v`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await dropping;
    await consortium.decided(round);
    const { events } = await consortium.anonymous.call(listRoundEvents, { params });
    expect(events.filter((event) => event.to === 'decided')).toHaveLength(1);
    expect(await factsOf(round)).toEqual(['round.funded', 'round.decided']);
  });

  it('by several counters at once decides once', async () => {
    const { round } = await votedRound();
    const counter = consortium.service.app.get(CountRounds);
    await consortium.move(round, 'counting');
    await Promise.all(Array.from({ length: 6 }, () => counter.execute()));
    await consortium.decided(round);
    expect(await factsOf(round)).toEqual(['round.funded', 'round.decided']);
  });

  it('of a vote in which nobody voted, or too few, adopts nothing and says why', async () => {
    const silent = await consortium.round({ deliberation: false });
    await consortium.pledge(silent, a, 3_000);
    await consortium.move(silent, 'proposing');
    await consortium.proposeSuite(silent, a, 'suite-one', { models: 2 });
    await consortium.move(silent, 'voting');
    await consortium.move(silent, 'counting');
    await consortium.decided(silent);
    const params = { roundId: silent.roundId };
    expect((await consortium.anonymous.call(getResult, { params })).outcome).toBe('no-ballots');
    expect(await codeOf(consortium.anonymous.raw(getCertificate, { params }))).toBe('resource.not-found');

    const { round } = await votedRound({ quorumBallots: 3 });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result).toMatchObject({
      outcome: 'no-quorum',
      winners: [],
      turnout: { ballots: 2, quorumMet: false },
    });
    expect(result.losers[0]?.reason).toBe('2 ballots are fewer than the quorum of 3');
  });
});

describe('a decided round', () => {
  it('reserves the GPU-seconds of each adopted suite, and releases them once', async () => {
    const { round, one, params } = await votedRound();
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const [decided] = await sql(
      `SELECT payload FROM platform.outbox WHERE type = 'round.decided' AND payload->>'roundId' = $1`,
      [round.roundId],
    );
    const { items } = await consortium.anonymous.call(listAdoptedSuites, { query: params });
    const suite = items.find(({ proposalId }) => proposalId === one);
    expect(suite).toMatchObject({ gpuSeconds: 2_000, gpuType: 'any', state: 'reserved' });
    expect(decided?.['payload']).toMatchObject({
      adopted: items.map(({ suiteId, proposalId, gpuSeconds }) => ({ suiteId, proposalId, gpuSeconds })),
    });
    const suiteId = suite?.suiteId ?? '';
    const release = (api = consortium.secretariat.api) =>
      api.call(releaseSuite, { params: { suiteId }, body: { reason: 'All trained' } });
    expect(await codeOf(release(a.delegate.api))).toBe('auth.forbidden');
    const released = await release();
    expect(released.state).toBe('released');
    expect(await release()).toEqual(released);
    const facts = await sql(
      `SELECT 1 FROM platform.outbox WHERE type = 'suite.released' AND payload->>'suiteId' = $1`,
      [suiteId],
    );
    expect(facts).toHaveLength(1);
  });

  it('buys at most one of exclusive variants', async () => {
    const round = await consortium.round({ deliberation: false });
    await consortium.pledge(round, a, 9_000);
    await consortium.move(round, 'proposing');
    const exclusive = { more: { exclusiveGroup: 'spanish' } };
    const small = await consortium.proposeSuite(round, a, 'suite-70m', { models: 2, ...exclusive });
    const large = await consortium.proposeSuite(round, b, 'suite-160m', { models: 3, ...exclusive });
    const other = await consortium.proposeSuite(round, b, 'suite-other', { models: 1 });
    await consortium.move(round, 'voting');
    await consortium.vote(a.delegate, round, approve(small, large, other));
    await consortium.vote(b.delegate, round, approve(small, large, other));
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result.winners).toHaveLength(2);
    expect(result.losers[0]?.reason).toMatch(/^Another variant won: /);
  });

  it('keeps the budgets of several GPU types apart', async () => {
    const round = await consortium.round({ deliberation: false, gpuTypes: ['h100', 'a100'] });
    await consortium.pledge(round, a, 2_000, 'h100');
    await consortium.pledge(round, b, 1_000, 'a100');
    expect(await codeOf(consortium.pledge(round, b, 1_000, 'v100'))).toBe('governance.unknown-gpu-type');
    await consortium.move(round, 'proposing');
    const on = (gpuType: string) => ({ design: { resources: { gpuType, overheadSecondsPerModel: 999 } } });
    const fast = await consortium.proposeSuite(round, a, 'suite-fast', { models: 2, ...on('h100') });
    const slow = await consortium.proposeSuite(round, a, 'suite-slow', { models: 1, ...on('a100') });
    expect(await codeOf(consortium.proposeSuite(round, a, 'too-slow', { models: 2, ...on('a100') }))).toBe(
      'governance.over-budget',
    );
    expect(await codeOf(consortium.proposeSuite(round, a, 'nowhere', { models: 1 }))).toBe(
      'governance.unknown-gpu-type',
    );
    await consortium.move(round, 'voting');
    await consortium.vote(a.delegate, round, approve(fast, slow));
    await consortium.vote(b.delegate, round, approve(fast, slow));
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result.winners.map(({ gpuType }) => gpuType).sort()).toEqual(['a100', 'h100']);
    expect(result.budgets).toEqual(
      [
        { gpuType: 'a100', gpuSeconds: 1_000, spentGpuSeconds: 1_000 },
        { gpuType: 'h100', gpuSeconds: 2_000, spentGpuSeconds: 2_000 },
      ].sort((x, y) => ['h100', 'a100'].indexOf(x.gpuType) - ['h100', 'a100'].indexOf(y.gpuType)),
    );
  });

  it('counts with every budget rule', async () => {
    for (const rule of [
      { name: 'equal-shares', utility: 'cardinality', completion: 'phragmen' },
      { name: 'equal-shares', utility: 'cost', completion: 'add1' },
      { name: 'phragmen' },
      { name: 'greedy', threshold: 2 },
    ] as const) {
      const { round, one } = await votedRound({ rule });
      await consortium.move(round, 'counting');
      await consortium.decided(round);
      const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
      expect(result.winners[0]?.proposalId).toBe(one);
    }
  });
});

describe('a schedule', () => {
  it('moves a round through all its states by itself and refuses ballots after the deadline', async () => {
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const round = await consortium.round({ schedule: { openProposalsAt: at(0) } });
    const params = { roundId: round.roundId };
    await consortium.pledge(round, a, 4_000);
    const reached = async (state: RoundView['state']): Promise<void> => {
      while ((await consortium.anonymous.call(getRound, { params })).state !== state) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await reached('proposing');
    const one = await consortium.proposeSuite(round, a, 'suite-one');
    const schedule = { deliberateAt: at(0), openVoteAt: at(1), closeAt: at(8_000) };
    await consortium.secretariat.api.call(amendCharter, {
      params,
      body: { charter: { schedule }, reason: 'All proposals are in' },
    });
    await reached('voting');
    await consortium.vote(a.delegate, round, approve(one));
    await consortium.decided(round);
    expect(await codeOf(consortium.vote(a.delegate, round, approve()))).toBe('governance.round-not-open');
    const { events } = await consortium.anonymous.call(listRoundEvents, { params });
    expect(events.slice(1).every((event) => event.actor === 'facility')).toBe(true);
  });

  it('is refused when its times do not follow each other', async () => {
    const charter = {
      schedule: { openVoteAt: '2027-01-02T00:00:00Z', closeAt: '2027-01-01T00:00:00Z' },
    };
    expect(await codeOf(consortium.round(charter))).toBe('governance.invalid-charter');
    expect(await codeOf(consortium.round({ rule: { name: 'schulze' }, ballot: 'points' }))).toBe(
      'governance.invalid-charter',
    );
  });
});

describe('a suite that no budget could pay', () => {
  it('is refused with what it costs and what there is', async () => {
    const round = await consortium.round();
    await consortium.pledge(round, a, 1_000);
    await consortium.move(round, 'proposing');
    expect(await codeOf(consortium.proposeSuite(round, a, 'too-big', { models: 2 }))).toBe(
      'governance.over-budget',
    );
    const broken = { factors: { ...designOf('broken').factors, dataOrderSeed: [1, 1] } };
    expect(await codeOf(consortium.proposeSuite(round, a, 'broken', { design: broken }))).toBe(
      'governance.invalid-suite',
    );
  });
});
