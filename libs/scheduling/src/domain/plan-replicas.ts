/** A serve job that has not ended, and what is known of it. */
export interface LiveReplica {
  readonly jobId: string;
  /** Null for a job that a person submitted: it counts, and is left alone. */
  readonly replica: number | null;
  /** Whether no agent has taken it yet. */
  readonly isWaiting: boolean;
  /** Whether a gateway can send it requests. */
  readonly isConnected: boolean;
  readonly inFlight: number;
  /** For how long it has been getting no new requests, in milliseconds; null while it gets them. */
  readonly leavingForMs: number | null;
  /** Of its time bound; null while it does not run. */
  readonly secondsLeft: number | null;
}

export interface ReplicaPlan {
  /** Numbers of replicas to start. */
  readonly start: readonly number[];
  /** Replicas that were leaving and stay, with the numbers that they have from now on. */
  readonly takeBack: readonly { readonly jobId: string; readonly replica: number }[];
  readonly leave: readonly { readonly jobId: string; readonly reason: string }[];
  /** Replicas that are done with their requests, or have had their time for it. */
  readonly end: readonly string[];
}

/** When gateways have surely heard that a replica leaves: they ask every five seconds, and tell their load every two. */
export const heardMs = 10_000;
/** No request to a model lasts longer than 120 s: who leaves for so long has none that it began with. */
const leavingMsMost = 180_000;
/** Before its time bound ends a replica makes place for the next one, early enough to end its requests. */
const rotateSeconds = leavingMsMost / 1_000 + 60;

/**
 * What to do so that a model has as many replicas as are wanted. Those that leave get no new requests where another can
 * take them, and end when theirs are done; one that still leaves is taken back before a new one is started.
 *
 * The numbers of started replicas are free ones up to `wanted`, each of which can be live once: however many decide at
 * the same time, no more are started than are wanted.
 */
export function planReplicas(wanted: number, live: readonly LiveReplica[]): ReplicaPlan {
  const lasts = (one: LiveReplica): boolean => one.secondsLeft === null || one.secondsLeft >= rotateSeconds;
  const here = live.filter((one) => one.leavingForMs === null);
  const staying = here.filter(lasts);
  const leave = here
    .filter((one) => !lasts(one) && one.replica !== null)
    .map(({ jobId }) => ({ jobId, reason: 'its time is nearly over; another one takes its place' }));
  const missing = wanted - staying.length;
  const used = new Set(staying.map((one) => one.replica));
  const free = Array.from({ length: wanted }, (_, at) => at + 1).filter((number) => !used.has(number));
  const back =
    missing <= 0
      ? []
      : live
          .filter((one) => one.leavingForMs !== null && !one.isWaiting && lasts(one))
          .sort((a, b) => b.inFlight - a.inFlight || compare(a.jobId, b.jobId))
          .slice(0, missing);
  const takeBack = back.map(({ jobId }, at) => ({ jobId, replica: free[at] as number }));
  const start = missing <= 0 ? [] : free.slice(back.length, missing);
  if (missing < 0) {
    const reason = `${wanted} ${wanted === 1 ? 'replica is' : 'replicas are'} enough for what is asked of the model`;
    const surplus = staying
      .filter((one) => one.replica !== null)
      .sort(cheapestFirst)
      .slice(0, -missing);
    leave.push(...surplus.map(({ jobId }) => ({ jobId, reason })));
  }
  const leaving = new Set(leave.map((one) => one.jobId));
  const ready = back.length + staying.filter((one) => one.isConnected && !leaving.has(one.jobId)).length;
  const end = live
    .filter((one) => one.leavingForMs !== null && !back.includes(one) && isDone(one, ready >= wanted))
    .map(({ jobId }) => jobId);
  return { start, takeBack, leave, end };
}

/** Who is not needed while others are there who can answer; who has had its time for leaving in any case. */
function isDone(one: LiveReplica, othersSuffice: boolean): boolean {
  const ms = one.leavingForMs ?? 0;
  if (one.isWaiting || ms >= leavingMsMost) return true;
  return ms >= heardMs && one.inFlight === 0 && othersSuffice;
}

/** Those that cost least to lose: not begun, not connected, least in flight, and of those the newest. */
function cheapestFirst(a: LiveReplica, b: LiveReplica): number {
  return (
    Number(b.isWaiting) - Number(a.isWaiting) ||
    Number(a.isConnected) - Number(b.isConnected) ||
    a.inFlight - b.inFlight ||
    compare(b.jobId, a.jobId)
  );
}

/** Ids sort by the time of submission. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const restartBaseMs = 10_000;
const restartMostMs = 300_000;

/**
 * How long after replicas have failed the next one is started: each time twice as long, from ten seconds to five
 * minutes, as Kubernetes restarts containers that crash.
 *
 * @param failures replicas of the model that failed, the last ones in a row
 */
export function restartAfterMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(restartMostMs, restartBaseMs * 2 ** Math.min(failures - 1, 10));
}
