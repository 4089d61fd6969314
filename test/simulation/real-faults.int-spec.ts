import { showCluster } from '@beamtime/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { stream } from './faults/fault-plan.js';
import { ip, isRunning, RealFacility, realLeaseMs, whyNoNamespaces } from './faults/real-facility.js';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let facility: RealFacility | undefined;
const cleanUps: (() => void)[] = [];
afterEach(async () => {
  for (const step of cleanUps.splice(0)) step();
  await facility?.close();
  facility = undefined;
});

async function ended(one: RealFacility, jobIds: readonly string[], timeout = 180_000): Promise<void> {
  for (const jobId of jobIds) {
    await expect
      .poll(async () => (await one.at.job(jobId)).state, { timeout, interval: 300 })
      .toMatch(/succeeded|failed|cancelled/);
  }
}

/** What must hold whatever happened. */
async function nothingLostOrDoubled(one: RealFacility, jobIds: readonly string[]): Promise<void> {
  for (const jobId of jobIds) {
    const job = await one.at.job(jobId);
    expect(job.state, job.reason ?? '').toBe('succeeded');
    expect(job.history.filter(({ state }) => state === 'succeeded')).toHaveLength(1);
    expect(job.gpuSecondsUsed).toBe(job.history.reduce((sum, { gpuSeconds }) => sum + gpuSeconds, 0));
  }
  const ends = await one.at.transactor.read.rows(
    `SELECT payload->>'jobId' AS job FROM platform.outbox WHERE type = 'job.ended' GROUP BY 1 HAVING count(*) = 1`,
  );
  expect(ends).toHaveLength(jobIds.length);
  expect(one.overlaps()).toEqual([]);
  await noneOutlivedItsLease(one);
}

/** Before the facility gave an attempt up as lost, the last sign of life of its program. */
async function noneOutlivedItsLease(one: RealFacility): Promise<void> {
  const lost = await one.at.transactor.read.rows<{ job: string; attempt: number; endedMs: number }>(
    `SELECT job_id AS job, number AS attempt, (extract(epoch FROM ended_at) * 1000)::float8 AS "endedMs"
     FROM scheduling.attempt WHERE state = 'lost'`,
  );
  const ended = new Map(lost.map(({ job, attempt, endedMs }) => [`${job}.${attempt}`, endedMs]));
  const outlived = one
    .lives()
    .filter((life) => life.lastMs > (ended.get(`${life.jobId}.${life.attempt}`) ?? Number.POSITIVE_INFINITY));
  expect(outlived).toEqual([]);
}

/** Minutes of real leases. */
const slow = process.env['BEAMTIME_SLOW'] === '1';

describe('real processes under faults', { timeout: 600_000 }, () => {
  it('an agent frozen beyond its lease: its program ends with the lease, another goes on, and it is fenced', async () => {
    facility = await RealFacility.start(1);
    const one = facility;
    const frozen = await one.agent('frozen');
    const { jobId } = await one.submit(100);
    await expect.poll(() => one.lives().length, { timeout: 60_000, interval: 100 }).toBe(1);
    frozen.process?.kill('SIGSTOP');
    await one.agent('heir');
    // The guard of its program ends that with the lease, and only then the facility gives the job away.
    await expect.poll(async () => (await one.at.job(jobId)).attempts, { timeout: 60_000 }).toBeGreaterThan(1);
    await expect.poll(() => one.lives().length, { timeout: 60_000 }).toBeGreaterThan(1);
    await noneOutlivedItsLease(one);
    frozen.process?.kill('SIGCONT');
    await expect.poll(() => frozen.stderr, { timeout: 60_000 }).toContain('attempt given up');
    await ended(one, [jobId]);
    await nothingLostOrDoubled(one, [jobId]);
  });

  it('a leader that is frozen loses its lock and changes nothing when it wakes, and one that is killed is replaced', async () => {
    facility = await RealFacility.start(2);
    const one = facility;
    await one.agent('steady');
    const leader = await one.leader();
    leader?.kill('SIGSTOP');
    cleanUps.push(() => leader?.kill('SIGCONT'));
    const { jobId } = await one.submit(5);
    await expect.poll(async () => (await one.leader())?.pid, { timeout: 60_000 }).not.toBe(leader?.pid);
    await ended(one, [jobId]);
    leader?.kill('SIGCONT');
    const again = await one.submit(20);
    (await one.leader())?.kill('SIGKILL');
    await ended(one, [again.jobId]);
    await nothingLostOrDoubled(one, [jobId, again.jobId]);
  });

  it.runIf(slow)(
    'SIGKILL and SIGSTOP at random on agents, programs, schedulers, Redis and connections lose and double nothing',
    async () => {
      facility = await RealFacility.start(2);
      const one = facility;
      for (const name of ['a', 'b', 'c']) await one.agent(name);
      const jobs = await Promise.all(Array.from({ length: 10 }, (_, n) => one.submit(20 + 8 * n)));
      const random = stream(Number(process.env['BEAMTIME_SEED'] ?? 5), 'real faults');
      const any = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
      const faults = [
        async () => {
          const agent = any(one.agents);
          await agent.stop('SIGKILL');
          agent.start();
        },
        async () => {
          const agent = any(one.agents);
          agent.process?.kill('SIGSTOP');
          await pause(random() * 2 * realLeaseMs);
          agent.process?.kill('SIGCONT');
        },
        () => {
          const [program] = any(one.agents).programs();
          if (program !== undefined) {
            try {
              process.kill(program, 'SIGKILL');
            } catch {
              // It ended by itself.
            }
          }
          return Promise.resolve();
        },
        async () => {
          (await one.leader())?.kill('SIGKILL');
          await one.startScheduler();
        },
        async () => {
          const leader = await one.leader();
          leader?.kill('SIGSTOP');
          await pause(random() * realLeaseMs);
          leader?.kill('SIGCONT');
        },
        async () => {
          await one.redis.kill();
          await pause(random() * 3_000);
          await one.redis.restart();
        },
        async () => {
          await one.at.transactor.read.rows(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()`,
          );
        },
      ];
      for (let n = 0; n < 10; n++) {
        await any(faults)();
        await pause(random() * 2_000);
      }
      for (const agent of one.agents) if (agent.process && !isRunning(agent.process)) agent.start();
      const jobIds = jobs.map(({ jobId }) => jobId);
      await ended(one, jobIds);
      await nothingLostOrDoubled(one, jobIds);
    },
  );

  const missing = slow ? whyNoNamespaces() : 'only with BEAMTIME_SLOW=1';
  it.skipIf(missing !== null)(
    `two agents in network namespaces that are cut off${missing === null ? '' : ` (skipped: ${missing})`}`,
    async () => {
      facility = await RealFacility.start(0);
      const one = facility;
      const id = process.pid.toString(36);
      const bridge = `btb${id}`;
      const subnet = `10.231.${process.pid % 250}`;
      ip('link', 'add', bridge, 'type', 'bridge');
      cleanUps.push(() => ip('link', 'del', bridge));
      ip('addr', 'add', `${subnet}.1/24`, 'dev', bridge);
      ip('link', 'set', bridge, 'up');
      const outside = ['a', 'b'].map((name, n) => {
        const [space, near, far] = [`bt${name}${id}`, `btn${name}${id}`, `btf${name}${id}`];
        ip('netns', 'add', space);
        cleanUps.push(() => ip('netns', 'del', space));
        ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', space);
        ip('link', 'set', near, 'master', bridge, 'up');
        ip('-n', space, 'addr', 'add', `${subnet}.${n + 2}/24`, 'dev', far);
        ip('-n', space, 'link', 'set', far, 'up');
        ip('-n', space, 'link', 'set', 'lo', 'up');
        return { space, near };
      });
      const port = await one.startScheduler({ BEAMTIME_HOST: `${subnet}.1` });
      const url = `http://${subnet}.1:${port}`;
      await expect.poll(() => one.leader(), { timeout: 60_000 }).toBeDefined();
      const [a, b] = outside as [(typeof outside)[0], (typeof outside)[0]];
      const first = await one.agent('cut-a', url, ['ip', 'netns', 'exec', a.space]);
      const second = await one.agent('cut-b', url, ['ip', 'netns', 'exec', b.space]);
      const jobs = [await one.submit(250), await one.submit(250)];
      await expect.poll(() => one.lives().length, { timeout: 60_000 }).toBe(2);
      for (const { near } of outside) ip('link', 'set', near, 'down');
      await expect.poll(() => [...first.programs(), ...second.programs()], { timeout: 60_000 }).toEqual([]);
      const heir = await one.agent('heir');
      for (const { jobId } of jobs)
        await expect
          .poll(async () => (await one.at.job(jobId)).attempts, { timeout: 60_000 })
          .toBeGreaterThan(1);
      // Both stopped by themselves, before the server gave their work away.
      await noneOutlivedItsLease(one);
      for (const { near } of outside) ip('link', 'set', near, 'up');
      for (const agent of [first, second]) await one.isUp(agent);
      const jobIds = jobs.map(({ jobId }) => jobId);
      await ended(one, jobIds);
      await nothingLostOrDoubled(one, jobIds);
      const of = { params: { clusterId: heir.clusterId } };
      expect((await one.at.operator.call(showCluster, of)).incarnation).toBe(1);
    },
  );
});
