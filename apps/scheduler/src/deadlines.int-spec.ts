import { explainJob } from '@beamtime/contracts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { refusal, type SchedulingForTest, type SimulatedAgent, schedulingForTest } from './testing.js';

let at: SchedulingForTest;
let agent: SimulatedAgent;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '20000' });
  agent = await (await at.cluster('hasty', { gpus: 2 })).register();
});
afterAll(() => at.close());

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();
const why = (jobId: string) => at.researcher.call(explainJob, { params: { jobId } });
const stateOf = async (jobId: string) => (await at.job(jobId)).state;
/** Time passes: nothing else may change a deadline. */
const makeOverdue = (jobId: string) =>
  at.transactor.read.rows(`UPDATE scheduling.job SET deadline = now() - interval '1 second' WHERE id = $1`, [
    jobId,
  ]);

it('a deadline in the past is refused', async () => {
  expect(await refusal(at.submit({ deadline: inSeconds(-1) }))).toBe('scheduling.deadline-past');
  expect(await refusal(at.submit({ deadline: 'tomorrow' }))).toBe('request.invalid');
});

it('a job that waits is cancelled when its time is over, without an attempt, and says before that it may be late', async () => {
  const running = await agent.begin((await at.submit({ gpus: 2 })).jobId);
  const late = await at.submit({ gpus: 2, maxSeconds: 600, deadline: inSeconds(300) });
  const calm = await at.submit({ gpus: 2, maxSeconds: 600, deadline: inSeconds(3_600) });
  expect((await why(late.jobId)).detail).toMatch(/may need 600 s: it is cancelled then/);
  expect((await why(calm.jobId)).detail).not.toContain('deadline');
  await makeOverdue(late.jobId);
  await expect.poll(() => stateOf(late.jobId), { timeout: 30_000 }).toBe('cancelled');
  expect(await at.job(late.jobId)).toMatchObject({
    attempts: 0,
    reason: expect.stringMatching(/^deadline: it had not ended by /),
  });
  expect(await stateOf(calm.jobId)).toBe('queued');
  await agent.report(running.ref, 'succeeded');
  const { ref } = await agent.begin(calm.jobId);
  await agent.report(ref, 'succeeded');
  // What has ended stays as it is.
  await makeOverdue(calm.jobId);
  const next = await at.submit({ gpus: 2 });
  await agent.report((await agent.begin(next.jobId)).ref, 'succeeded');
  expect(await stateOf(calm.jobId)).toBe('succeeded');
}, 60_000);

it('a job that runs is told to stop when its time is over', async () => {
  const { jobId } = await at.submit({ gpus: 2, deadline: inSeconds(3_600) });
  const { ref } = await agent.begin(jobId);
  await makeOverdue(jobId);
  await expect.poll(async () => (await at.job(jobId)).cancelRequested, { timeout: 30_000 }).toBe(true);
  const { cancel } = await agent.sync(false);
  expect(cancel).toMatchObject([{ ...ref, reason: expect.stringMatching(/^deadline: /) }]);
  await agent.report(ref, 'cancelled');
  expect(await at.job(jobId)).toMatchObject({
    state: 'cancelled',
    reason: expect.stringMatching(/^deadline: /),
  });
}, 60_000);
