import type { Tx } from '@beamtime/platform';
import { wholeGpuMilli } from '../domain/gpu-share.js';
import { GpuRoom } from '../domain/quota.js';
import { gpusOfShape, headsOf, markOf, type WaitingShape } from '../domain/shape.js';
import type { GpuQuota, SnapshotCluster, SnapshotShadow, WaitingJob } from '../domain/snapshot.js';
import {
  canLeave,
  gpuRangeOf,
  msOf,
  type SnapshotColumns,
  snapshotColumns,
} from '../postgres/snapshot-columns.js';
import { BoundJobs, isMisplaced, type ShapeOfOwner } from './bound-jobs.js';

/** Shapes looked at in one decision, shared among the owners; what is beyond has its turn in the next decisions. */
const shapesInAll = 2_000;
const shapesPerOwnerLeast = 8;

/** Waiting jobs that are remembered, twice: more than several decisions read. */
const rowsPerGeneration = 5_000;

/** What one decision leaves for the next, kept by the leader for as long as it leads. */
export class QueueMemory {
  /** Where to go on among the shapes of an owner that has more than one decision looks at. */
  readonly cursors = new Map<string, string>();
  /**
   * Waiting jobs that decisions read lately, by their ids, in two generations: the older goes when the younger is full.
   * While a job waits nothing changes of what a decision reads of it, and only the leader ends its waiting in such a
   * way that it can wait again: see `forget`.
   */
  private younger = new Map<string, WaitingRow>();
  private older = new Map<string, WaitingRow>();
  /** Of the jobs that the last decision read, and of those that only stand in the schedules of labs alone. */
  readonly bound = new BoundJobs();
  readonly boundAtHome = new BoundJobs();
  /** Where jobs were met that are not marked with the quotas of GPUs under which they stand, see `regroupJobs`. */
  misplaced: readonly ShapeOfOwner[] = [];

  rowOf(jobId: string): WaitingRow | undefined {
    return this.younger.get(jobId) ?? this.older.get(jobId);
  }

  keep(rows: readonly WaitingRow[]): void {
    for (const row of rows) this.younger.set(row.id, row);
    if (this.younger.size <= rowsPerGeneration) return;
    this.older = this.younger;
    this.younger = new Map();
  }

  /** Jobs for which offers are about to be written: should they come back, they come back changed. */
  forget(jobIds: readonly string[]): void {
    for (const jobId of jobIds) {
      this.younger.delete(jobId);
      this.older.delete(jobId);
    }
  }
}

/** Waiting, not backing off and not behind others: the words of the index `job_waiting`. */
export const isWaiting = `state = 'queued' AND retry_at IS NULL AND blocked_by = 0`;
const waitingColumns = `j.id, ${msOf('j.queued_at')} AS queued_ms, ${msOf('j.retry_at')} AS retry_ms,
  ${snapshotColumns}`;

interface WaitingRow extends SnapshotColumns {
  id: string;
  queued_ms: number;
  retry_ms: number | null;
}

/** A waiting job, without what stands elsewhere: its place in the schedule of its lab alone, and who declined it. */
export type WaitingHead = Omit<WaitingJob, 'avoid' | 'shadow' | 'quotas' | 'gpuShareMilli' | 'replicaOf'> & {
  replicaOf?: string;
  avoid: string[];
  quotas?: readonly string[];
  gpuShareMilli?: number;
  shadow?: SnapshotShadow;
};

/**
 * The waiting jobs that a decision can depend on: of each owner the first few of each shape, as many as could start
 * with what is free. A gang that finds no room therefore never hides the small jobs behind it, and the cost follows
 * from the number of shapes, not from the length of the queue. Jobs that back off are not read; the sweep puts them
 * back when their time has come. Jobs under quotas of GPUs are marked in their shapes: at the limit they hide nobody, and
 * no more of them are read than could start.
 *
 * @param options.shapes what `waitingShapes` found, if that has been asked already
 * @param options.also jobs that are to be among them wherever they stand in the queue
 */
export async function loadWaiting(
  tx: Tx,
  clusters: readonly SnapshotCluster[],
  options: {
    readonly also?: readonly string[];
    readonly memory?: QueueMemory | undefined;
    readonly quotas?: readonly GpuQuota[];
    readonly shapes?: readonly ShapeFound[];
  } = {},
): Promise<WaitingHead[]> {
  const { memory = new QueueMemory(), quotas = [] } = options;
  const shapes = withRoom(options.shapes ?? (await waitingShapes(tx, memory.cursors)), quotas);
  const free = freeGpusOf(clusters);
  const counts = headsOf(shapes, free.inAll, free.inOne, free.sharedMilli);
  const headsOfShapes = await headsIn(tx, shapes, counts);
  const heads = headsOfShapes.flat();
  // Jobs that people ask about, and those that may be owed a place at home, wherever they stand.
  const rows = await rowsOf(tx, [...new Set([...heads, ...(options.also ?? [])])], memory);
  // The others may back off, and then they wait again otherwise.
  const isHead = new Set(heads);
  memory.keep(rows.filter((row) => isHead.has(row.id)));
  // Written out: a decision sees thousands, and copies by spreading cost more than reading them.
  const found = rows.map((row) => {
    const head: WaitingHead = {
      jobId: row.id,
      kind: row.kind,
      owner: row.owner,
      gpus: row.gpus,
      gpuType: row.gpu_type,
      gpuMemoryMiB: row.gpu_memory_mib,
      maxSeconds: row.max_seconds,
      priority: row.priority,
      submittedMs: row.submitted_ms,
      servedMs: row.seconds_used * 1000,
      preemptible: canLeave(row),
      queuedMs: row.queued_ms,
      retryAtMs: row.retry_ms,
      avoid: [],
    };
    if (row.replica_of !== null) head.replicaOf = row.replica_of;
    if (row.gpus_min !== null) Object.assign(head, gpuRangeOf(row));
    if (row.gpu_share_milli < wholeGpuMilli) head.gpuShareMilli = row.gpu_share_milli;
    return head;
  });
  const quotasOf = await memory.bound.quotasOf(tx, rows, quotas);
  memory.misplaced = shapes.filter(({ shape }, at) => isMisplaced(shape, headsOfShapes[at] ?? [], quotasOf));
  for (const head of quotasOf.size === 0 ? [] : found) {
    const keys = quotasOf.get(head.jobId);
    if (keys !== undefined) head.quotas = keys;
  }
  return found;
}

/** Of shapes that are marked with quotas of GPUs: what is left under these. */
function withRoom(shapes: readonly ShapeFound[], quotas: readonly GpuQuota[]): readonly ShapeFound[] {
  if (quotas.length === 0) return shapes;
  const room = new GpuRoom(quotas);
  return shapes.map((one) => {
    const { quotaKeys } = markOf(one.shape);
    return quotaKeys.length === 0 ? one : { ...one, roomGpus: room.of(quotaKeys) };
  });
}

/**
 * The ids of so many first jobs of each shape; the first one came with the shape. Ids stand in the index alone, so that
 * the table is read only for those that are not remembered.
 */
async function headsIn(
  tx: Tx,
  shapes: readonly ShapeFound[],
  counts: readonly number[],
): Promise<string[][]> {
  const more = shapes.flatMap(({ owner, shape }, at) => {
    const count = counts[at] ?? 0;
    return count > 1 ? [{ at, owner, shape, count }] : [];
  });
  const heads: string[][] = shapes.map(({ first }) => [first]);
  if (more.length > 0) {
    const rows = await tx.rows<{ at: number; ids: string[] }>(
      `SELECT h.at, ARRAY(SELECT id FROM scheduling.job w
         WHERE ${isWaiting} AND w.owner = h.owner AND w.shape = h.shape
         ORDER BY priority DESC, submitted_at, id LIMIT h.count) AS ids
       FROM unnest($1::int[], $2::text[], $3::text[], $4::int[]) AS h (at, owner, shape, count)`,
      [
        more.map(({ at }) => at),
        more.map(({ owner }) => owner),
        more.map(({ shape }) => shape),
        more.map(({ count }) => count),
      ],
    );
    for (const { at, ids } of rows) heads[at] = ids;
  }
  return heads;
}

/** In the order of `jobIds`, but for those that do not wait any more. */
async function rowsOf(tx: Tx, jobIds: readonly string[], memory: QueueMemory): Promise<WaitingRow[]> {
  const unknown = jobIds.filter((jobId) => memory.rowOf(jobId) === undefined);
  const read = new Map<string, WaitingRow>();
  if (unknown.length > 0) {
    const rows = await tx.rows<WaitingRow>(
      `SELECT ${waitingColumns} FROM scheduling.job j WHERE j.id = ANY ($1) AND j.state = 'queued'`,
      [unknown],
    );
    for (const row of rows) read.set(row.id, row);
  }
  return jobIds.flatMap((jobId) => memory.rowOf(jobId) ?? read.get(jobId) ?? []);
}

/** Hops over the index from owner to owner, however many jobs each has. */
const waitingOwners = `
  (SELECT owner FROM scheduling.job WHERE ${isWaiting} ORDER BY owner LIMIT 1)
  UNION ALL
  SELECT n.owner FROM o, LATERAL (
    SELECT owner FROM scheduling.job WHERE ${isWaiting} AND owner > o.owner ORDER BY owner LIMIT 1) n`;

/** The order of the index: shape by shape, and in each the order of its jobs. */
const byTurn = 'ORDER BY shape, priority DESC, submitted_at, id';

/** A shape with the id of its first job. */
interface ShapeFound extends WaitingShape {
  readonly first: string;
}

/**
 * Hops from shape to shape of each owner, or of the one that is named, from where the last decision stopped if there
 * were too many.
 */
export async function waitingShapes(
  tx: Tx,
  cursors: Map<string, string>,
  only?: string,
): Promise<ShapeFound[]> {
  const found = await tx.rows<{ owner: string; shape: string; first: string; of_owners: number }>(
    `WITH RECURSIVE o (owner) AS (${waitingOwners}), wanted AS MATERIALIZED (
       SELECT owner FROM o WHERE $3::text IS NULL UNION ALL SELECT $3::text WHERE $3::text IS NOT NULL
     )
     SELECT w.owner, s.shape, s.first, (SELECT count(*)::int FROM wanted) AS of_owners
     FROM wanted w LEFT JOIN unnest($1::text[], $2::text[]) AS c (owner, after) ON c.owner = w.owner, LATERAL (
       WITH RECURSIVE s (shape, first) AS (
         (SELECT shape, id FROM scheduling.job
          WHERE ${isWaiting} AND owner = w.owner AND shape > coalesce(c.after, '') ${byTurn} LIMIT 1)
         UNION ALL
         SELECT n.shape, n.id FROM s, LATERAL (
           SELECT shape, id FROM scheduling.job WHERE ${isWaiting} AND owner = w.owner AND shape > s.shape
           ${byTurn} LIMIT 1) n
       ) SELECT shape, first FROM s LIMIT greatest(${shapesPerOwnerLeast}, ${shapesInAll} / (SELECT count(*) FROM wanted))
     ) s`,
    [[...cursors.keys()], [...cursors.values()], only ?? null],
  );
  const perOwner = Math.max(shapesPerOwnerLeast, Math.floor(shapesInAll / (found[0]?.of_owners ?? 1)));
  const last = new Map<string, { count: number; shape: string }>();
  for (const { owner, shape } of found) last.set(owner, { count: (last.get(owner)?.count ?? 0) + 1, shape });
  for (const owner of new Set([...cursors.keys(), ...last.keys()])) {
    const { count, shape } = last.get(owner) ?? { count: 0, shape: '' };
    if (count < perOwner) cursors.delete(owner);
    else cursors.set(owner, shape);
  }
  return found.map(({ owner, shape, first }) => ({ owner, shape, first, gpus: gpusOfShape(shape) }));
}

/** Free GPUs of the active clusters, in all and at most in one, and what is left in all of those that are shared. */
function freeGpusOf(clusters: readonly SnapshotCluster[]): {
  inAll: number;
  inOne: number;
  sharedMilli: number;
} {
  let [inAll, inOne, sharedMilli] = [0, 0, 0];
  for (const { state, capacity, running = [] } of clusters) {
    if (state !== 'active' || capacity === null) continue;
    let busy = 0;
    const shared = new Set<number>();
    for (const { gpus, gpuShareMilli = wholeGpuMilli, gpuSlot } of running) {
      if (gpuSlot === undefined) busy += gpus;
      else {
        shared.add(gpuSlot);
        sharedMilli -= gpuShareMilli;
      }
    }
    sharedMilli += shared.size * wholeGpuMilli;
    const free = Math.max(0, capacity.gpus - busy - shared.size);
    inAll += free;
    inOne = Math.max(inOne, free);
  }
  return { inAll, inOne, sharedMilli };
}

/** Positions beyond this are not counted further: the answer is this much, or more. */
export const positionMost = 10_000;

/**
 * A waiting job's place among those of its owner, 1 is first, by priority and then by age; counted over the whole queue
 * as far as `positionMost`. Null for a job that does not wait, or backs off.
 */
export async function positionOf(tx: Tx, jobId: string): Promise<number | null> {
  const job = await tx.row<{ owner: string; priority: number; submitted_at: string }>(
    `SELECT owner, priority, submitted_at::text FROM scheduling.job WHERE id = $1 AND ${isWaiting}`,
    [jobId],
  );
  if (job === undefined) return null;
  const shapes = await waitingShapes(tx, new Map(), job.owner);
  const row = await tx.row<{ ahead: string | null }>(
    `SELECT sum(higher.jobs + older.jobs) AS ahead FROM unnest($1::text[]) AS s (shape),
       LATERAL (SELECT count(*) AS jobs FROM (SELECT 1 FROM scheduling.job WHERE ${isWaiting} AND owner = $2
         AND shape = s.shape AND priority > $3 LIMIT ${positionMost}) a) higher,
       LATERAL (SELECT count(*) AS jobs FROM (SELECT 1 FROM scheduling.job WHERE ${isWaiting} AND owner = $2
         AND shape = s.shape AND priority = $3 AND (submitted_at, id) < ($4::timestamptz, $5)
         LIMIT ${positionMost}) b) older`,
    [shapes.map((shape) => shape.shape), job.owner, job.priority, job.submitted_at, jobId],
  );
  return Math.min(positionMost, Number(row?.ahead ?? 0) + 1);
}
