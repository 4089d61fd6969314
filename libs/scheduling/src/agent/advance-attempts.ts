import type { AttemptAssignment, DeclineCode, ProblemCode } from '@beamtime/contracts';
import { err, isTerminal, move, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { LOGGER, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { KnownClusters } from '../clusters/known-clusters.js';
import { doubtCapacity } from '../clusters/trust-capacity.js';
import { avoidAll } from '../cycle/sweep.js';
import { type AttemptState, attemptLifecycle, isHeld, isLive } from '../domain/attempt-lifecycle.js';
import { GroupCommit } from '../group-commit.js';
import { type AttemptEnd, type AttemptOutcome, EndAttempt } from '../jobs/end-attempt.js';
import { JOB_FILES, type JobFiles, LEASE_TIMES, type LeaseTimes } from '../ports.js';
import {
  type AttemptRecord,
  appendHistoryAll,
  attemptKey,
  type HistoryEntry,
  type JobRecord,
  lockAttempts,
  lockJobs,
} from '../postgres/job-records.js';
import { assignWork, readWork } from './assign-work.js';
import { type AttemptClaim, type Fenced, fenced, judgeClaim, supersededAmong } from './fence.js';

export interface AttemptReport {
  readonly state: 'staging' | 'running' | 'finalizing' | 'succeeded' | 'failed' | 'cancelled' | 'preempted';
  readonly reason: string | null;
  readonly exitCode: number | null;
  readonly retriable: boolean;
}

/** What an agent says of one attempt. */
type Said =
  | { readonly kind: 'accept' }
  | { readonly kind: 'decline'; readonly reason: string; readonly code: DeclineCode }
  | ({ readonly kind: 'report' } & AttemptReport);
export type Advance = { readonly jobId: string; readonly attempt: number } & Said;
export type Advanced = Result<AttemptAssignment | null, Problem<ProblemCode>>;

/** What one agent says at once. */
interface Saying {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly items: readonly Advance[];
}
type Heard = Result<readonly Advanced[], Fenced>;
/** Heard within the transaction; what an accepted attempt is to run is read after it. */
type Decided = Result<{ readonly accepted: Accepted | null }, Problem<ProblemCode>>;

/** An attempt that its agent takes: it is told what to do. */
interface Accepted {
  readonly job: JobRecord;
  readonly gpus: number;
}

interface Made {
  readonly made: readonly Result<readonly Decided[], Fenced>[];
  readonly short: readonly Short[];
}
/** An offer that was declined since the cluster has fewer GPUs than it claims. */
interface Short {
  readonly clusterId: string;
  readonly gpus: number;
}

/** Items in one transaction: beyond, the locks are held long and the ledger walks ever longer chains of versions. */
const itemsPerCommit = 100;
/** While one transaction waits for the disk, another computes. */
const commitsAtOnce = 2;

/** On the way an attempt only goes forward: an old message that comes late changes nothing. */
const order: readonly AttemptState[] = ['offered', 'accepted', 'staging', 'running', 'finalizing'];

/**
 * Takes what agents say of their attempts: accepts, declines, reports. What arrives together, of however many agents,
 * shares a transaction and a handful of statements; each item is fenced and answered by itself, and repeating it is
 * harmless.
 */
@Injectable()
export class AdvanceAttempts {
  private readonly together: GroupCommit<Saying, Heard>;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
    @Inject(JOB_FILES) private readonly files: JobFiles,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
    @Inject(LOGGER) private readonly log: Logger,
    @Inject(KnownClusters) private readonly clusters: KnownClusters,
  ) {
    this.together = new GroupCommit({
      commit: (sayings) => this.commit(sayings),
      sizeOf: (saying) => saying.items.length,
      sizeAtMost: itemsPerCommit,
      atOnce: commitsAtOnce,
    });
  }

  /** One answer for each item, in order; an error for the whole when a newer process has replaced this agent. */
  async execute(saying: Saying): Promise<Heard> {
    try {
      return await this.together.submit(saying);
    } catch (error) {
      if (saying.items.length === 1) throw error;
      this.log.error({ err: error, clusterId: saying.clusterId }, 'attempts could not be advanced together');
      return this.oneByOne(saying);
    }
  }

  /** After a break, so that one item cannot hold up the others of its agent; the agent says it again. */
  private async oneByOne(saying: Saying): Promise<Heard> {
    const advanced: Advanced[] = [];
    for (const item of saying.items) {
      try {
        const heard = await this.together.submit({ ...saying, items: [item] });
        if (!heard.ok) return heard;
        advanced.push(...heard.value);
      } catch (error) {
        this.log.error(
          { err: error, jobId: item.jobId, attempt: item.attempt },
          'an attempt cannot be advanced',
        );
        advanced.push(err(problem('server.internal', 'This could not be done; say it again')));
      }
    }
    return ok(advanced);
  }

  /** What an agent says of one attempt alone. */
  async one(claim: AttemptClaim, item: Said): Promise<Advanced> {
    const { clusterId, incarnation, jobId, attempt } = claim;
    const heard = await this.execute({
      clusterId,
      incarnation,
      items: [{ ...item, jobId, attempt }],
    });
    if (!heard.ok) return heard;
    const [advanced] = heard.value;
    return advanced ?? err(fenced(claim, 'was not answered'));
  }

  private async commit(sayings: readonly Saying[]): Promise<Heard[]> {
    const { decided, short, work } = await this.transactor.do(async (tx) => {
      const { made, short: refused } = await this.decide(tx, sayings);
      const accepted = made.flatMap((heard) =>
        heard.ok
          ? heard.value.flatMap((one) =>
              one.ok && one.value.accepted !== null ? [one.value.accepted.job.id] : [],
            )
          : [],
      );
      return { decided: made, short: refused, work: await readWork(tx, accepted) };
    });
    // By themselves: a cluster's row is locked before jobs, never after.
    for (const { clusterId, gpus } of short) {
      await this.transactor.do((tx) => doubtCapacity(tx, clusterId, gpus));
    }
    if (short.length > 0) this.clusters.forget();
    return Promise.all(
      decided.map(async (heard): Promise<Heard> => {
        if (!heard.ok) return heard;
        return ok(
          await Promise.all(
            heard.value.map(async (one): Promise<Advanced> => {
              if (!one.ok) return one;
              const { accepted } = one.value;
              const found = accepted === null ? undefined : work.get(accepted.job.id);
              return ok(
                accepted === null || found === undefined
                  ? null
                  : await assignWork(this.files, accepted.job, accepted.gpus, found),
              );
            }),
          ),
        );
      }),
    );
  }

  /** Locks what is spoken of, judges each item in order against what the ones before it made, then writes all. */
  private async decide(tx: Tx, sayings: readonly Saying[]): Promise<Made> {
    const refused = await supersededAmong(tx, sayings);
    const items = sayings.flatMap((saying, i) => (refused[i] === undefined ? saying.items : []));
    const jobs = await lockJobs(
      tx,
      items.map((item) => item.jobId),
    );
    const attempts = await lockAttempts(tx, items);
    const draft = new Draft(jobs, attempts);
    const decided = sayings.map((saying, i): Result<readonly Decided[], Fenced> => {
      const replaced = refused[i];
      return replaced === undefined
        ? ok(saying.items.map((item) => draft.take(saying, item)))
        : err(replaced);
    });
    await draft.write(tx, this.times.leaseTtlMs);
    await avoidAll(tx, draft.declined);
    await this.endAttempt.endAll(tx, draft.ends);
    return { made: decided, short: draft.short };
  }
}

/** The attempts of one transaction as its items change them, before anything is written. */
class Draft {
  readonly ends: AttemptEnd[] = [];
  readonly declined: { jobId: string; clusterId: string; reason: string }[] = [];
  readonly short: Short[] = [];
  private readonly moved = new Map<string, AttemptRecord>();
  private readonly accepted = new Set<string>();
  private readonly history: HistoryEntry[] = [];

  constructor(
    private readonly jobs: ReadonlyMap<string, JobRecord>,
    private readonly attempts: Map<string, AttemptRecord>,
  ) {}

  take(saying: Pick<Saying, 'clusterId' | 'incarnation'>, item: Advance): Decided {
    const claim = {
      clusterId: saying.clusterId,
      incarnation: saying.incarnation,
      jobId: item.jobId,
      attempt: item.attempt,
    };
    const job = this.jobs.get(item.jobId);
    const attempt = this.attempts.get(attemptKey(item));
    const held = judgeClaim(claim, job, attempt, (state) => admits(item, state));
    if (!held.ok) return held;
    switch (item.kind) {
      case 'accept':
        return this.accept(claim, held.value.job, held.value.attempt);
      case 'decline':
        this.declined.push({ jobId: claim.jobId, clusterId: claim.clusterId, reason: item.reason });
        // What is left of a shared GPU says nothing about how many there are.
        if (item.code === 'capacity' && held.value.attempt.gpu_slot === null)
          this.short.push({ clusterId: claim.clusterId, gpus: held.value.attempt.gpus });
        return this.end(held.value.job, held.value.attempt, {
          state: 'expired',
          reason: `declined: ${item.reason}`,
          exitCode: null,
          retriable: true,
          actor: claim.clusterId,
        });
      case 'report':
        return this.report(claim, held.value.job, held.value.attempt, item);
    }
  }

  private accept(claim: AttemptClaim, job: JobRecord, attempt: AttemptRecord): Decided {
    if (attempt.state === 'offered') {
      if (job.cancel_requested_at !== null) return err(fenced(claim, 'was cancelled'));
      this.accepted.add(attemptKey(claim));
      this.move({ ...attempt, incarnation: claim.incarnation }, 'accepted', claim.clusterId, null);
    }
    return ok({ accepted: { job, gpus: attempt.gpus } });
  }

  private report(
    claim: AttemptClaim,
    job: JobRecord,
    attempt: AttemptRecord,
    report: AttemptReport,
  ): Decided {
    const { state } = report;
    const late = order.includes(state) && order.indexOf(state) < order.indexOf(attempt.state);
    if (attempt.state === state || late) return ok({ accepted: null });
    const moved = move(attemptLifecycle, `attempt ${claim.attempt}`, attempt.state, state);
    if (!moved.ok) return moved;
    if (!isTerminal(attemptLifecycle, state)) {
      this.move(attempt, state, claim.clusterId, report.reason);
      return ok({ accepted: null });
    }
    return this.end(job, attempt, {
      state: state as 'succeeded' | 'failed' | 'cancelled' | 'preempted',
      reason: report.reason,
      exitCode: report.exitCode,
      retriable: report.retriable,
      actor: claim.clusterId,
    });
  }

  private move(attempt: AttemptRecord, state: AttemptState, actor: string, reason: string | null): void {
    const key = { jobId: attempt.job_id, attempt: attempt.number };
    const next = { ...attempt, state };
    this.attempts.set(attemptKey(key), next);
    this.moved.set(attemptKey(key), next);
    this.history.push({ ...key, subject: 'attempt', from: attempt.state, to: state, actor, reason });
  }

  private end(job: JobRecord, attempt: AttemptRecord, outcome: AttemptOutcome): Decided {
    this.ends.push({ job, attempt, outcome });
    const key = attemptKey({ jobId: attempt.job_id, attempt: attempt.number });
    this.attempts.set(key, { ...attempt, state: outcome.state });
    return ok({ accepted: null });
  }

  /** Writes the moves on the way; the ends are written by EndAttempt, which finds the attempts as they are here. */
  async write(tx: Tx, leaseTtlMs: number): Promise<void> {
    if (this.moved.size === 0) return;
    const moved = [...this.moved.entries()];
    await tx.rows(
      `UPDATE scheduling.attempt a SET state = e.state, incarnation = e.incarnation,
         accepted_at = CASE WHEN e.accepted THEN now() ELSE accepted_at END,
         renewed_at = CASE WHEN e.accepted THEN now() ELSE renewed_at END,
         lease_expires_at = CASE WHEN e.accepted THEN now() + $6 * interval '1 millisecond' ELSE lease_expires_at END,
         running_at = CASE WHEN e.state IN ('running', 'finalizing') THEN coalesce(running_at, now()) ELSE running_at END
       FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::boolean[])
         AS e (job_id, number, state, incarnation, accepted)
       WHERE a.job_id = e.job_id AND a.number = e.number`,
      [
        moved.map(([, attempt]) => attempt.job_id),
        moved.map(([, attempt]) => attempt.number),
        moved.map(([, attempt]) => attempt.state),
        moved.map(([, attempt]) => attempt.incarnation),
        moved.map(([key]) => this.accepted.has(key)),
        leaseTtlMs,
      ],
    );
    await tx.rows(
      `UPDATE scheduling.job j SET updated_at = now(),
         started_at = CASE WHEN e.accepted THEN coalesce(started_at, now()) ELSE started_at END
       FROM unnest($1::text[], $2::boolean[]) AS e (id, accepted) WHERE j.id = e.id`,
      [moved.map(([, attempt]) => attempt.job_id), moved.map(([key]) => this.accepted.has(key))],
    );
    await appendHistoryAll(tx, this.history);
  }
}

/** In which states of the attempt an item may come; one that repeats what is so already is let through. */
function admits(item: Advance, state: AttemptState): boolean {
  if (item.kind === 'accept') return isLive(state);
  if (item.kind === 'decline') return state === 'offered';
  return isHeld(state) || state === item.state;
}
