import { checkBooks } from '@beamtime/access';
import type { Tx } from '@beamtime/platform';
import type pg from 'pg';
import { epochMs } from './virtual-time.js';
import type { Program, World } from './world.js';

/** A moment in which the facility could not do its work, or its clock jumped. */
export interface Disturbance {
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface EndFigures {
  readonly jobs: number;
  readonly attempts: number;
  readonly byState: Readonly<Record<string, number>>;
  readonly gpuSecondsUsed: number;
  readonly gpuSecondsPosted: number;
  /** Of lost attempts while the facility was well: from the last renewal to the end of the attempt. */
  readonly recoveryMs: readonly number[];
  /** Programs that ran. */
  readonly programs: number;
}

interface Ended {
  readonly admin: pg.Client;
  readonly world: World;
  readonly jobIds: readonly string[];
  readonly jobs: number;
  readonly disturbances: readonly Disturbance[];
  readonly leaseTtlMs: number;
}

/** The scheduler looks at least so often, and a cycle over everything that one dead cluster had takes a while. */
const cycleMs = 500;
const cycleTakesMs = 5_000;

/** The books of truth against each other: database, ledger, and what really ran. */
export async function checkEnd(ended: Ended): Promise<EndFigures> {
  const { admin, world } = ended;
  const none = async (what: string, sql: string): Promise<void> => {
    const { rows } = await admin.query<Record<string, unknown>>(`${sql} LIMIT 3`);
    for (const row of rows) world.violate(what, row);
  };
  if (ended.jobIds.length !== ended.jobs || new Set(ended.jobIds).size !== ended.jobs)
    world.violate('a job was lost, or is there twice', {
      submitted: ended.jobs,
      known: new Set(ended.jobIds).size,
    });
  await none(
    'a job was lost',
    `SELECT id, state, attempts FROM scheduling.job WHERE state IN ('queued', 'running')`,
  );
  await none(
    'a job is there that nobody was told of',
    `SELECT id FROM scheduling.job GROUP BY id HAVING (SELECT count(*) FROM scheduling.job) <> ${ended.jobs}`,
  );
  await none(
    'a job ended other than once',
    `SELECT j.id, j.state, count(o.*)::int AS ends FROM scheduling.job j
     LEFT JOIN platform.outbox o ON o.type = 'job.ended' AND o.payload->>'jobId' = j.id
     GROUP BY j.id, j.state HAVING count(o.*) <> 1`,
  );
  await none(
    'an attempt was committed twice, or after its successor',
    `SELECT j.id, j.state, j.attempts, array_agg(a.number ORDER BY a.number) AS succeeded
     FROM scheduling.job j JOIN scheduling.attempt a ON a.job_id = j.id AND a.state = 'succeeded'
     GROUP BY j.id, j.state, j.attempts
     HAVING count(*) > 1 OR j.state <> 'succeeded' OR min(a.number) <> j.attempts`,
  );
  await none(
    'a job succeeded without an attempt that did',
    `SELECT id FROM scheduling.job j WHERE state = 'succeeded' AND NOT EXISTS
       (SELECT FROM scheduling.attempt a WHERE a.job_id = j.id AND a.state = 'succeeded')`,
  );
  await none(
    'an attempt has more than one end in its history',
    `SELECT job_id, attempt, count(*)::int AS ends FROM scheduling.job_event WHERE subject = 'attempt'
       AND to_state IN ('succeeded', 'failed', 'cancelled', 'preempted', 'lost', 'expired')
     GROUP BY job_id, attempt HAVING count(*) > 1`,
  );
  await none(
    'the GPU-seconds of a job are not those of its attempts',
    `SELECT j.id, j.gpu_seconds_used::int AS used, coalesce(sum(a.gpu_seconds), 0)::int AS attempts
     FROM scheduling.job j LEFT JOIN scheduling.attempt a ON a.job_id = j.id
     GROUP BY j.id HAVING j.gpu_seconds_used <> coalesce(sum(a.gpu_seconds), 0)`,
  );
  await none(
    'GPU-seconds were not charged once',
    `SELECT j.id, j.gpu_seconds_used::int AS used, h.state, h.amount::int AS held, h.posted::int AS posted,
       coalesce(o.posted, 0)::int AS overrun
     FROM scheduling.job j LEFT JOIN access.hold h ON h.id = 'job/' || j.id
     LEFT JOIN access.hold o ON o.id = 'job/' || j.id || '/overrun'
     WHERE h.id IS NULL OR h.state <> 'posted' OR h.posted + coalesce(o.posted, 0) <> j.gpu_seconds_used
       OR h.posted > h.amount`,
  );
  await checkLedger(ended);
  await checkPrograms(ended);
  const recoveryMs = await checkRecovery(ended);
  return { ...(await figures(admin)), programs: world.runs.length, recoveryMs };
}

async function checkLedger({ admin, world }: Ended): Promise<void> {
  const tx = {
    rows: async (sql: string, parameters: unknown[] = []) =>
      (await admin.query(sql, parameters)).rows as unknown[],
  } as unknown as Tx;
  const books = await checkBooks(tx);
  for (const check of books.checks)
    if (check.violations > 0) world.violate(`the books: ${check.says}`, { example: check.example });
}

/** A success in the database is a program that really ended well, there and in that attempt. */
async function checkPrograms({ admin, world, leaseTtlMs }: Ended): Promise<void> {
  const runs = new Map<string, Program>(world.runs.map((run) => [`${run.jobId}.${run.attempt}`, run]));
  const { rows } = await admin.query<{
    job_id: string;
    number: number;
    state: string;
    cluster: string;
    gpu_seconds: string;
    gpus: number;
  }>(
    `SELECT a.job_id, a.number, a.state, c.name AS cluster, a.gpu_seconds, a.gpus
     FROM scheduling.attempt a JOIN scheduling.cluster c ON c.id = a.cluster_id`,
  );
  for (const row of rows) {
    const run = runs.get(`${row.job_id}.${row.number}`);
    if (row.state === 'succeeded') {
      const well = run?.status.state === 'ended' && run.status.exitCode === 0 && run.cluster === row.cluster;
      if (!well) world.violate('a success that no program had', { ...row, status: run?.status });
    }
    const heldMs = run === undefined ? 0 : (run.heldUntilMs ?? run.endMs ?? 0) - run.startMs;
    const chargedMs = (Number(row.gpu_seconds) / row.gpus) * 1_000;
    // A report may be late by what a lease lasts, and the database's clock may jump by ten seconds meanwhile.
    if (chargedMs > heldMs + leaseTtlMs + 5_000 + 10_000 + 1_000)
      world.violate('more GPU-seconds were charged than a lease explains', { ...row, heldMs, chargedMs });
  }
}

/** From the last renewal of a lease to the end of its attempt: lease + skew + one cycle, if the facility was well. */
async function checkRecovery({ admin, world, disturbances, leaseTtlMs }: Ended): Promise<number[]> {
  const skewMs = Math.min(leaseTtlMs / 4, 5_000);
  const { rows } = await admin.query<{ job_id: string; number: number; renewed: Date; ended: Date }>(
    `SELECT job_id, number, renewed_at AS renewed, ended_at AS ended FROM scheduling.attempt
     WHERE state = 'lost' AND reason LIKE 'the agent was not heard of%' ORDER BY job_id, number`,
  );
  const recoveries: number[] = [];
  for (const row of rows) {
    const [fromMs, untilMs] = [row.renewed.getTime() - epochMs, row.ended.getTime() - epochMs];
    const dueMs = fromMs + leaseTtlMs + skewMs;
    // The times are the database's, which is up to five seconds off.
    if (disturbances.some((d) => d.fromMs < untilMs + 5_000 && d.untilMs > dueMs - 15_000)) continue;
    recoveries.push(untilMs - fromMs);
    if (untilMs > dueMs + cycleMs + cycleTakesMs)
      world.violate('a lost attempt was noticed late', { ...row, lateMs: untilMs - dueMs });
  }
  return recoveries;
}

async function figures(admin: pg.Client) {
  const states = await admin.query<{ state: string; attempts: number }>(
    'SELECT state, count(*)::int AS attempts FROM scheduling.attempt GROUP BY state ORDER BY state',
  );
  const used = await admin.query<{ jobs: number; used: number; posted: number }>(
    `SELECT count(*)::int AS jobs, coalesce(sum(gpu_seconds_used), 0)::int AS used,
       (SELECT coalesce(sum(posted), 0)::int FROM access.hold) AS posted FROM scheduling.job`,
  );
  const byState = Object.fromEntries(states.rows.map((row) => [row.state, row.attempts]));
  const [totals] = used.rows;
  return {
    jobs: totals?.jobs ?? 0,
    attempts: states.rows.reduce((sum, row) => sum + row.attempts, 0),
    byState,
    gpuSecondsUsed: totals?.used ?? 0,
    gpuSecondsPosted: totals?.posted ?? 0,
  };
}
