import type { JobStreamMessage, JobView } from '@beamtime/contracts';
import { isTerminal } from '@beamtime/kernel';
import { Inject, Injectable } from '@nestjs/common';
import { jobLifecycle } from '../domain/job-lifecycle.js';
import { covers, cursorText, fromTheBeginning, isLater, type JobCursor, readCursor } from './job-cursor.js';
import { JobTraces } from './job-traces.js';
import { JobViews } from './job-views.js';
import { Signal } from './signal.js';

/** A message with the place in the stream that its reader has reached with it. */
export interface Streamed {
  readonly id: string;
  readonly message: JobStreamMessage;
}

/** How often a live view looks; people do not read faster. */
const lookEveryMs = 400;
/** Events and metric points of one look; the next look follows at once when there are more. */
const perLook = 500;
/** Log chunks of one look: each up to 64 KiB. */
const chunksPerLook = 40;
/** Parts kept for the readers of one job; who is further behind reads the database himself. */
const partsKept = 16;
/** Jobs of the stream of all jobs that wait for a slow reader; of each only its present state. */
const waitingJobsMax = 10_000;

/** What was new in one look. */
interface Part {
  readonly messages: readonly Told[];
  readonly after: JobCursor;
}
type Told =
  | { readonly kind: 'event'; readonly at: number; readonly message: JobStreamMessage }
  | {
      readonly kind: 'metric' | 'log';
      readonly at: readonly [number, number];
      readonly message: JobStreamMessage;
    };

/**
 * What happens to jobs, as it happens, read from the database: any instance can tell, and none keeps state that matters.
 * The readers of one job share one look at it, and so do all readers of the stream of all jobs, however many they are.
 */
@Injectable()
export class JobStream {
  private readonly watched = new Map<string, WatchedJob>();
  private changes: WatchedChanges | undefined;

  constructor(
    @Inject(JobViews) private readonly jobs: JobViews,
    @Inject(JobTraces) private readonly traces: JobTraces,
  ) {}

  /** Jobs that somebody watches here now, each looked at once however many watch it. */
  get watchedJobs(): number {
    return this.watched.size;
  }

  /** One job from a place in its stream, until it has ended and all of it is told, or the reader is gone. */
  async *ofJob(
    jobId: string,
    options: {
      readonly logs: boolean;
      readonly fromAttempt?: number | undefined;
      readonly after?: string | undefined;
    },
    gone: AbortSignal,
  ): AsyncGenerator<Streamed> {
    const beginning: JobCursor = {
      ...fromTheBeginning,
      log: [Math.max(0, (options.fromAttempt ?? 1) - 1), 1e15],
    };
    let cursor =
      readCursor(options.after) ?? (options.fromAttempt === undefined ? fromTheBeginning : beginning);
    let last = '';
    const job = this.join(jobId);
    try {
      while (!gone.aborted) {
        const state = job.state;
        const part = job.partAfter(cursor) ?? (await this.read(jobId, cursor));
        for (const told of part.messages) {
          cursor = passed(cursor, told);
          if (told.kind !== 'log' || options.logs) yield { id: cursorText(cursor), message: told.message };
          if (gone.aborted) return;
        }
        cursor = part.after;
        if (part.messages.length > 0) continue;
        if (state !== undefined && state.text !== last) {
          last = state.text;
          yield { id: cursorText(cursor), message: { type: 'job', job: state.job } };
        }
        // The state was read before what it had left behind: all of that has been told.
        if (state !== undefined && isTerminal(jobLifecycle, state.job.state) && job.hasSettled(state)) {
          yield { id: cursorText(cursor), message: { type: 'end', jobId } };
          return;
        }
        if (job.isMissing) return;
        await job.changed.wait(gone);
      }
    } finally {
      this.leave(jobId, job);
    }
  }

  /** Every change of a job from now on, after the jobs as they are. A slow reader hears only the newest state of each. */
  async *ofAll(suiteId: string | null, gone: AbortSignal): AsyncGenerator<Streamed> {
    this.changes ??= new WatchedChanges(this.jobs);
    const { changes } = this;
    const waiting = new Map<string, JobView>();
    const leave = changes.join((job) => {
      if (suiteId !== null && job.suiteId !== suiteId) return;
      waiting.delete(job.jobId);
      waiting.set(job.jobId, job);
      const [oldest] = waiting.keys();
      if (waiting.size > waitingJobsMax && oldest !== undefined) waiting.delete(oldest);
    });
    try {
      const first = await this.jobs.list({
        limit: 500,
        ...(suiteId === null ? {} : { suiteId: suiteId as never }),
      });
      // Oldest first, so that what is told last is newest.
      for (const job of [...first.items].reverse()) yield { id: '', message: { type: 'job', job } };
      while (!gone.aborted) {
        for (const [jobId, job] of waiting) {
          waiting.delete(jobId);
          yield { id: '', message: { type: 'job', job } };
          if (gone.aborted) return;
        }
        await changes.changed.wait(gone);
      }
    } finally {
      leave();
    }
  }

  private join(jobId: string): WatchedJob {
    const found =
      this.watched.get(jobId) ?? new WatchedJob(jobId, this.jobs, (cursor) => this.read(jobId, cursor));
    this.watched.set(jobId, found);
    found.watchers++;
    return found;
  }

  private leave(jobId: string, job: WatchedJob): void {
    job.watchers--;
    if (job.watchers > 0) return;
    job.stop();
    this.watched.delete(jobId);
  }

  /** What lies after a cursor, bounded; empty when there is nothing. */
  private async read(jobId: string, cursor: JobCursor): Promise<Part> {
    const events = await this.traces.events(jobId, cursor.event, perLook);
    const points = await this.traces.metricsAfter(jobId, cursor.metric, perLook);
    const chunks = await this.traces.logsAfter(jobId, cursor.log, chunksPerLook);
    const messages: Told[] = [
      ...events.map((event) => ({
        kind: 'event' as const,
        at: event.id,
        message: { type: 'event' as const, jobId, event },
      })),
      ...groupPoints(jobId, points),
      ...chunks.map(({ attempt, chunk }) => ({
        kind: 'log' as const,
        at: [attempt, chunk.seq] as const,
        message: { type: 'log' as const, jobId, attempt, chunk },
      })),
    ];
    return { messages, after: messages.reduce(passed, cursor) };
  }
}

/** The points of each attempt as one message. */
function groupPoints(jobId: string, points: Awaited<ReturnType<JobTraces['metricsAfter']>>): Told[] {
  const byAttempt = new Map<number, typeof points>();
  for (const point of points) byAttempt.set(point.attempt, [...(byAttempt.get(point.attempt) ?? []), point]);
  return [...byAttempt].map(([attempt, group]) => ({
    kind: 'metric',
    at: [attempt, group.at(-1)?.step ?? 0],
    message: { type: 'metrics', jobId, points: group },
  }));
}

function passed(cursor: JobCursor, told: Told): JobCursor {
  if (told.kind === 'event') return { ...cursor, event: Math.max(cursor.event, told.at) };
  return isLater(told.at, cursor[told.kind]) ? { ...cursor, [told.kind]: told.at } : cursor;
}

function isNews(cursor: JobCursor, told: Told): boolean {
  return told.kind === 'event' ? told.at > cursor.event : isLater(told.at, cursor[told.kind]);
}

/** One job that somebody watches: looked at again and again, and its last parts kept for all who do. */
class WatchedJob {
  readonly changed = new Signal();
  watchers = 0;
  state: { readonly job: JobView; readonly text: string } | undefined;
  isMissing = false;
  private base: JobCursor | undefined;
  private head: JobCursor = fromTheBeginning;
  private parts: Part[] = [];
  private settledText = '';
  private stopped = false;
  private readonly ended = new AbortController();

  constructor(
    private readonly jobId: string,
    private readonly jobs: JobViews,
    private readonly read: (cursor: JobCursor) => Promise<Part>,
  ) {
    void this.look();
  }

  stop(): void {
    this.stopped = true;
    this.ended.abort();
  }

  /** News after a cursor, from what is kept; undefined when it has come less far than that reaches back. */
  partAfter(cursor: JobCursor): Part | undefined {
    if (this.base === undefined || !covers(cursor, this.base)) return undefined;
    const messages = this.parts.flatMap((part) => part.messages).filter((told) => isNews(cursor, told));
    return { messages, after: messages.reduce(passed, cursor) };
  }

  /** Whether everything was read after this state was. */
  hasSettled(state: { readonly text: string }): boolean {
    return this.settledText === state.text;
  }

  private async look(): Promise<void> {
    while (!this.stopped) {
      try {
        if (await this.lookOnce()) continue;
      } catch {
        // The database is away: the next look tells, and the readers wait as they do anyway.
      }
      await Signal.pause(lookEveryMs, this.ended.signal);
    }
  }

  /** Whether there may be more at once. */
  private async lookOnce(): Promise<boolean> {
    const job = await this.jobs.find(this.jobId);
    if (job === undefined) {
      this.isMissing = true;
      this.changed.ring();
      return false;
    }
    const text = JSON.stringify(job);
    // Who begins to watch a long job reads its past by himself; what is kept here begins near the present.
    const part = await this.read(this.head);
    this.base ??= this.head;
    this.head = part.after;
    if (part.messages.length > 0) this.keep(part);
    const isNew = text !== this.state?.text;
    this.state = { job, text };
    const settles = part.messages.length === 0 && this.settledText !== text;
    if (part.messages.length === 0) this.settledText = text;
    if (isNew || settles || part.messages.length > 0) this.changed.ring();
    return part.messages.length > 0;
  }

  private keep(part: Part): void {
    this.parts.push(part);
    while (this.parts.length > partsKept) this.base = this.parts.shift()?.after ?? this.base;
  }
}

/** A transaction that is committed late carries an earlier time: look back a little, tell nothing twice. */
const overlapMs = 5_000;
const changesPerLook = 20_000;
const viewsPerLook = 500;

/** All changes of jobs, looked for once for everybody who watches them. */
class WatchedChanges {
  readonly changed = new Signal();
  private readonly listeners = new Set<(job: JobView) => void>();
  private looking = false;

  constructor(private readonly jobs: JobViews) {}

  join(listener: (job: JobView) => void): () => void {
    this.listeners.add(listener);
    if (!this.looking) void this.look();
    return () => {
      this.listeners.delete(listener);
    };
  }

  private async look(): Promise<void> {
    this.looking = true;
    /** When a job was last told of, of those that the next look may find again. */
    const told = new Map<string, number>();
    let sinceMs = Date.now() - overlapMs;
    while (this.listeners.size > 0) {
      try {
        const changes = await this.jobs.changesSince(new Date(sinceMs), changesPerLook);
        const news = changes.filter(({ jobId, updatedMs }) => told.get(jobId) !== updatedMs);
        for (let at = 0; at < news.length; at += viewsPerLook) {
          const batch = news.slice(at, at + viewsPerLook);
          for (const job of await this.jobs.findAll(batch.map(({ jobId }) => jobId)))
            for (const listener of this.listeners) listener(job);
          for (const { jobId, updatedMs } of batch) told.set(jobId, updatedMs);
        }
        const newest = changes.at(-1)?.updatedMs;
        // A full page of changes within the overlap must not keep the look where it is.
        if (newest !== undefined)
          sinceMs = Math.max(sinceMs, changes.length < changesPerLook ? newest - overlapMs : newest);
        for (const [jobId, updatedMs] of told) if (updatedMs < sinceMs) told.delete(jobId);
        if (news.length > 0) this.changed.ring();
      } catch {
        // The database is away: the next look tells.
      }
      await Signal.pause(lookEveryMs);
    }
    this.looking = false;
  }
}
