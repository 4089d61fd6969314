import type { Logger } from 'pino';
import { type DataSource, type QueryRunner } from 'typeorm';
import type { Tx } from '../database/transactor.js';

/** What the leader proves in every write: the epoch it was elected in. */
export interface Leadership {
  readonly name: string;
  readonly epoch: bigint;
  /** Aborted when leadership is lost. */
  readonly signal: AbortSignal;
}

export interface LeaderHandle {
  /** Steps down, waits for the work to stop, and frees the lock for the standby. */
  close(): Promise<void>;
  readonly isLeader: () => boolean;
}

/** How often a standby tries, and a leader shows that it lives. */
const pollEveryMs = 1_000;
/** A leader that has shown nothing for so long is frozen, or its machine is: a standby ends its connection. */
export const leaderSilentMs = 5_000;

/** The 53-bit lock key of a name: FNV-1a, so that two names rarely share one. */
function lockKey(name: string): number {
  let hash = 0xcbf29ce484222325n;
  for (const char of name)
    hash = ((hash ^ BigInt(char.codePointAt(0) ?? 0)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return Number(hash & 0x1fffffffffffffn);
}

/**
 * Runs `work` in at most one process: whoever holds a PostgreSQL session lock. Each election raises the epoch, and
 * `requireEpoch` makes a write of an earlier leader change nothing, so a frozen leader that wakes up does no harm.
 * @param work starts leading and returns how to stop; called again at each election.
 */
export function lead(
  dataSource: DataSource,
  name: string,
  holder: string,
  work: (leadership: Leadership) => Promise<{ close(): Promise<void> }>,
  log: Logger,
): LeaderHandle {
  let closed = false;
  let leading = false;
  let wakeUp: (() => void) | undefined;
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function elected(runner: QueryRunner): Promise<void> {
    const rows = (await runner.query(
      `INSERT INTO platform.leader (name, epoch, holder) VALUES ($1, 1, $2)
       ON CONFLICT (name) DO UPDATE SET epoch = platform.leader.epoch + 1, holder = $2, since = now() RETURNING epoch`,
      [name, holder],
    )) as { epoch: string }[];
    await runner.query(
      `INSERT INTO platform.leader_pulse (name, backend_pid) VALUES ($1, pg_backend_pid())
       ON CONFLICT (name) DO UPDATE SET backend_pid = excluded.backend_pid, at = now()`,
      [name],
    );
    const abort = new AbortController();
    const leadership = { name, epoch: BigInt(rows[0]?.epoch ?? '0'), signal: abort.signal };
    log.info({ leader: name, epoch: leadership.epoch.toString(), holder }, 'elected');
    leading = true;
    const running = await work(leadership);
    try {
      while (!closed) {
        await pause(pollEveryMs);
        if (!closed)
          await runner.query('UPDATE platform.leader_pulse SET at = now() WHERE name = $1', [name]);
      }
    } finally {
      leading = false;
      abort.abort();
      await running.close();
    }
  }

  /**
   * The lock of a frozen process stays taken, since its kernel keeps the connection open. Whoever stands by ends that
   * connection; should the process wake up, its epoch has passed.
   */
  async function evictSilent(runner: QueryRunner): Promise<void> {
    const ended = (await runner.query(
      `SELECT pg_terminate_backend(l.pid) FROM platform.leader_pulse p JOIN pg_locks l ON l.pid = p.backend_pid
       WHERE p.name = $1 AND p.at < now() - $2 * interval '1 millisecond' AND l.locktype = 'advisory' AND l.granted
         AND l.objsubid = 1 AND (l.classid::bigint << 32) | l.objid::bigint = $3
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [name, leaderSilentMs, lockKey(name)],
    )) as unknown[];
    if (ended.length > 0)
      log.warn({ leader: name }, 'the leader has fallen silent; its lock was taken from it');
  }

  async function tryOnce(): Promise<void> {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.connect();
      const rows = (await runner.query('SELECT pg_try_advisory_lock($1) AS got', [lockKey(name)])) as {
        got: boolean;
      }[];
      if (rows[0]?.got === true) {
        try {
          await elected(runner);
        } finally {
          await runner.query('SELECT pg_advisory_unlock($1)', [lockKey(name)]).catch(() => undefined);
        }
      } else {
        await evictSilent(runner);
      }
    } catch (error) {
      if (!closed) log.warn({ err: error, leader: name }, 'leadership lost or not reachable; trying again');
    } finally {
      await runner.release().catch(() => undefined);
    }
  }

  const loop = (async () => {
    while (!closed) {
      await tryOnce();
      if (!closed) await pause(pollEveryMs);
    }
  })();

  return {
    isLeader: () => leading,
    async close() {
      closed = true;
      wakeUp?.();
      await loop;
    },
  };
}

/** Raised by `requireEpoch`: another leader has been elected since. */
export class NotLeader extends Error {
  override readonly name = 'NotLeader';
}

/** Guards a leader's transaction: throws NotLeader if a later epoch has begun, and holds off an election until commit. */
export async function requireEpoch(tx: Tx, leadership: Leadership): Promise<void> {
  const row = await tx.row('SELECT 1 FROM platform.leader WHERE name = $1 AND epoch = $2 FOR SHARE', [
    leadership.name,
    leadership.epoch.toString(),
  ]);
  if (row === undefined) throw new NotLeader(`${leadership.name}: epoch ${leadership.epoch} has ended`);
}
