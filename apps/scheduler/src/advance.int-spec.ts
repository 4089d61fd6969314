import {
  type AdvanceResult,
  advanceAttempts,
  type ClientBodyOf,
  cancelJob,
  listJobEvents,
  syncAgent,
} from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refusal, type SchedulingForTest, type SimulatedAgent, schedulingForTest } from './testing.js';

let at: SchedulingForTest;
let agent: SimulatedAgent;
beforeAll(async () => {
  at = await schedulingForTest();
  agent = await (await at.cluster('together', { gpus: 8 })).register();
});
afterAll(() => at.close());

type Item = ClientBodyOf<typeof advanceAttempts>['items'][number];
async function advance(items: Item[], who = agent): Promise<AdvanceResult[]> {
  const body = { incarnation: who.incarnation, items };
  return (await who.client.call(advanceAttempts, { body })).results;
}
const codes = (results: readonly AdvanceResult[]) => results.map((one) => (one.ok ? 'ok' : one.problem.code));

/** Jobs that have been offered to the agent. */
async function offered(count: number): Promise<{ jobId: string; attempt: number }[]> {
  const jobs = await Promise.all(Array.from({ length: count }, () => at.submit()));
  const refs = new Map<string, { jobId: string; attempt: number }>();
  await expect
    .poll(
      async () => {
        for (const { jobId, attempt } of (await agent.sync(false)).offers)
          refs.set(jobId, { jobId, attempt });
        return jobs.every((job) => refs.has(job.jobId));
      },
      { timeout: 20_000 },
    )
    .toBe(true);
  return jobs.map((job) => refs.get(job.jobId) as { jobId: string; attempt: number });
}

const accept = (ref: { jobId: string; attempt: number }): Item => ({ kind: 'accept', ...ref });
const report = (
  ref: { jobId: string; attempt: number },
  state: 'staging' | 'running' | 'finalizing' | 'succeeded' | 'failed',
): Item => ({ kind: 'report', ...ref, state });

async function historyOf(jobId: string): Promise<string[]> {
  const { items } = await at.researcher.call(listJobEvents, { params: { jobId }, query: {} });
  return items.map((event) => `${event.subject} ${event.to}`);
}

describe('many words in one call', () => {
  it('are done in order, from accept to success, with the assignment of each accept', async () => {
    const refs = await offered(3);
    const results = await advance(
      refs.flatMap((ref) => [accept(ref), report(ref, 'running'), report(ref, 'succeeded')]),
    );
    expect(codes(results)).toEqual(Array(9).fill('ok'));
    expect(results.map((one) => one.ok && one.assignment?.runner.jobId)).toEqual(
      refs.flatMap((ref) => [ref.jobId, undefined, undefined]),
    );
    for (const { jobId } of refs) {
      expect(await at.job(jobId)).toMatchObject({ state: 'succeeded', attempts: 1 });
      expect(await historyOf(jobId)).toEqual([
        'job queued',
        'job running',
        'attempt offered',
        'attempt accepted',
        'attempt running',
        'attempt succeeded',
        'job succeeded',
      ]);
    }
  });

  it('stop at none that is fenced, refused or unknown', async () => {
    const [gone, good, early, other] = await offered(4);
    if (!gone || !good || !early || !other) throw new Error('four offers');
    await at.researcher.call(cancelJob, { params: { jobId: gone.jobId }, body: {} });
    const stranger = { jobId: `job_${'0'.repeat(26)}`, attempt: 1 };
    const results = await advance([
      accept(gone),
      accept(stranger),
      accept(good),
      // Offered, so it cannot have run.
      report(early, 'succeeded'),
      { kind: 'report', ...good, state: 'failed', retriable: false, reason: 'bad input' },
      accept({ ...other, attempt: 2 }),
      accept(other),
    ]);
    expect(codes(results)).toEqual([
      'scheduling.attempt-fenced',
      'scheduling.attempt-fenced',
      'ok',
      'scheduling.attempt-fenced',
      'ok',
      'scheduling.attempt-fenced',
      'ok',
    ]);
    expect(await at.job(good.jobId)).toMatchObject({ state: 'failed', reason: 'bad input' });
    expect(await at.job(other.jobId)).toMatchObject({ attemptState: 'accepted' });
    await advance([accept(early)]);
    await advance([early, other].flatMap((ref) => [report(ref, 'running'), report(ref, 'succeeded')]));
  });

  it('change nothing when they are repeated, also within one call', async () => {
    const refs = await offered(2);
    const said = refs.flatMap((ref) => [
      accept(ref),
      accept(ref),
      report(ref, 'running'),
      report(ref, 'staging'),
    ]);
    expect(codes(await advance([...said, ...said]))).toEqual(Array(16).fill('ok'));
    const ends = refs.flatMap((ref) => [report(ref, 'succeeded'), report(ref, 'succeeded')]);
    expect(codes(await advance(ends))).toEqual(Array(4).fill('ok'));
    expect(codes(await advance(ends))).toEqual(Array(4).fill('ok'));
    for (const { jobId } of refs) {
      const history = await historyOf(jobId);
      expect(history.filter((entry) => entry === 'attempt accepted')).toHaveLength(1);
      expect(history.filter((entry) => entry === 'job succeeded')).toHaveLength(1);
      const facts = await at.transactor.read.rows(
        `SELECT 1 FROM platform.outbox WHERE type = 'job.ended' AND payload->>'jobId' = $1`,
        [jobId],
      );
      expect(facts).toHaveLength(1);
    }
  });

  it('said by many agents at once keep each attempt to its own agent', async () => {
    const thief = await (await at.cluster('thief', { gpuType: 'none' })).register();
    const refs = await offered(2);
    const [ours, theirs] = await Promise.all([advance(refs.map(accept)), advance(refs.map(accept), thief)]);
    expect(codes(ours)).toEqual(['ok', 'ok']);
    expect(new Set(codes(theirs))).toEqual(new Set(['scheduling.attempt-fenced']));
    await advance(refs.flatMap((ref) => [report(ref, 'running'), report(ref, 'succeeded')]));
  });

  it('decline and end beside each other', async () => {
    const [no, yes] = await offered(2);
    if (!no || !yes) throw new Error('two offers');
    const results = await advance([
      { kind: 'decline', ...no, reason: 'not at night' },
      accept(yes),
      report(yes, 'running'),
      report(yes, 'succeeded'),
    ]);
    expect(codes(results)).toEqual(Array(4).fill('ok'));
    expect(await at.job(no.jobId)).toMatchObject({ state: 'queued', attemptState: 'expired' });
    await at.researcher.call(cancelJob, { params: { jobId: no.jobId }, body: {} });
  });

  it('of a superseded agent are refused as a whole', async () => {
    const [ref] = await offered(1);
    if (!ref) throw new Error('an offer');
    const old = agent;
    agent = await old.restart();
    expect(await refusal(advance([accept(ref)], old))).toBe('scheduling.agent-superseded');
    expect(await at.job(ref.jobId)).toMatchObject({ attemptState: 'offered' });
    await advance([accept(ref), report(ref, 'running'), report(ref, 'succeeded')]);
  });
});

describe('a sync', () => {
  it('that has heard of an offer waits for news instead of hearing it again', async () => {
    const [ref] = await offered(1);
    if (!ref) throw new Error('an offer');
    const call = async (heard: { jobId: string; attempt: number; what: 'offer' }[]) => {
      const begun = performance.now();
      const { offers } = await agent.client.call(syncAgent, {
        body: {
          incarnation: agent.incarnation,
          inventory: agent.inventory,
          policy: {
            kinds: ['train'],
            labIds: null,
            consortium: true,
            gpusPerJobMax: null,
            secondsPerJobMax: null,
            hoursUtc: null,
          },
          draining: false,
          attempts: [],
          heard,
        },
      });
      return { offers: offers.map((offer) => offer.jobId), tookMs: performance.now() - begun };
    };
    expect((await call([])).offers).toEqual([ref.jobId]);
    const waiting = call([{ ...ref, what: 'offer' }]);
    const next = await at.submit();
    // The answer carries all that is open, and comes because of the new one.
    expect(new Set((await waiting).offers)).toEqual(new Set([ref.jobId, next.jobId]));
  });
});
