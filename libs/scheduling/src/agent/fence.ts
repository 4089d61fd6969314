import type { ProblemCode } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { type AttemptState, isHeld, isLive } from '../domain/attempt-lifecycle.js';
import { type AttemptRecord, findAttempt, type JobRecord, lockJob } from '../postgres/job-records.js';

/** By what an agent proves that it may speak for an attempt. */
export interface AttemptClaim {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly jobId: string;
  /** The fencing token. */
  readonly attempt: number;
}

export type Fenced = Problem<ProblemCode>;
export interface HeldAttempt {
  readonly job: JobRecord;
  readonly attempt: AttemptRecord;
}

/** Refuses an agent process that a newer one has replaced. */
export async function refuseSuperseded(
  tx: Tx,
  claim: Pick<AttemptClaim, 'clusterId' | 'incarnation'>,
): Promise<Fenced | undefined> {
  return (await supersededAmong(tx, [claim]))[0];
}

/** The same for many, in their order. */
export async function supersededAmong(
  tx: Tx,
  claims: readonly Pick<AttemptClaim, 'clusterId' | 'incarnation'>[],
): Promise<(Fenced | undefined)[]> {
  const clusters = await tx.rows<{ id: string; incarnation: number }>(
    `SELECT id, incarnation FROM scheduling.cluster WHERE id = ANY ($1) AND state <> 'retired'`,
    [[...new Set(claims.map((claim) => claim.clusterId))]],
  );
  const present = new Map(clusters.map((cluster) => [cluster.id, cluster.incarnation]));
  return claims.map(({ clusterId, incarnation }) => {
    const current = present.get(clusterId);
    return current === incarnation ? undefined : superseded(incarnation, current ?? 0);
  });
}

export function superseded(mine: number, present: number): Fenced {
  return problem(
    'scheduling.agent-superseded',
    `This agent process is incarnation ${mine} of its cluster, the present one is ${present}: stop everything and end`,
  );
}

export function fenced(claim: AttemptClaim, why: string): Fenced {
  return problem(
    'scheduling.attempt-fenced',
    `Attempt ${claim.attempt} of ${claim.jobId} ${why}: stop it and report nothing more`,
  );
}

/**
 * The attempt and its job, locked, if the claim still holds: the present incarnation of the cluster, the job's
 * present attempt, not ended. Everything that is written for an attempt passes here first.
 */
export async function holdAttempt(
  tx: Tx,
  claim: AttemptClaim,
  admitted: (state: AttemptState) => boolean = isHeld,
): Promise<Result<HeldAttempt, Fenced>> {
  const replaced = await refuseSuperseded(tx, claim);
  if (replaced !== undefined) return err(replaced);
  const job = await lockJob(tx, claim.jobId);
  const attempt = job === undefined ? undefined : await findAttempt(tx, claim.jobId, claim.attempt);
  return judgeClaim(claim, job, attempt, admitted);
}

/** The same of a job and an attempt that are locked already, for an agent that has not been superseded. */
export function judgeClaim(
  claim: AttemptClaim,
  job: JobRecord | undefined,
  attempt: AttemptRecord | undefined,
  admitted: (state: AttemptState) => boolean,
): Result<HeldAttempt, Fenced> {
  if (job === undefined || attempt === undefined || attempt.cluster_id !== claim.clusterId) {
    return err(fenced(claim, 'was never given to this cluster'));
  }
  if (attempt.number !== job.attempts) return err(fenced(claim, `was followed by attempt ${job.attempts}`));
  if (attempt.incarnation !== null && attempt.incarnation !== claim.incarnation) {
    return err(fenced(claim, 'belongs to an earlier process of this agent'));
  }
  if (!admitted(attempt.state)) {
    return err(fenced(claim, isLive(attempt.state) ? `is ${attempt.state}` : `has ended: ${attempt.state}`));
  }
  return ok({ job, attempt });
}
