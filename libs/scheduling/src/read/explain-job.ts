import type { explainJob, FollowedJob, JobView, ResponseOf } from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { loadSnapshot } from '../cycle/load-snapshot.js';
import { positionOf } from '../cycle/load-waiting.js';
import { deadlineAtRisk } from '../domain/deadline.js';
import { explainWaiting } from '../domain/explain-waiting.js';
import type { SharesPolicy } from '../domain/policy.js';
import { SHARES_POLICY } from '../ports.js';
import { JobViews } from './job-views.js';

type Explanation = ResponseOf<typeof explainJob>;

/** Why a job does not run yet: asks the same `decide` that places jobs, on the present snapshot. */
@Injectable()
export class ExplainJob {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(JobViews) private readonly jobs: JobViews,
    @Inject(SHARES_POLICY) private readonly policy: SharesPolicy,
  ) {}

  async execute(jobId: string): Promise<Explanation | undefined> {
    const job = await this.jobs.find(jobId);
    if (job === undefined) return undefined;
    const told = await this.explain(job);
    const haste = job.state === 'queued' ? await this.jobs.haste(jobId) : undefined;
    const risk = haste && deadlineAtRisk(haste.nowMs, haste.deadlineMs, haste.secondsLeft);
    return risk == null ? told : { ...told, detail: `${told.detail}. ${risk}` };
  }

  private async explain(job: JobView): Promise<Explanation> {
    const { jobId } = job;
    const follows = await this.jobs.followedBy(jobId);
    const head = { jobId, state: job.state, position: null, change: null, clusters: [], follows };
    if (job.state === 'running') {
      const there = await this.whyThere(jobId, job.attempts);
      const detail = `Attempt ${job.attempts} is ${job.attemptState ?? 'live'} on ${job.clusterName ?? 'a cluster'}${there}`;
      return { ...head, code: 'running', detail };
    }
    if (job.state !== 'queued') {
      return {
        ...head,
        code: 'ended',
        detail: `It has ${job.state}${job.reason === null ? '' : `: ${job.reason}`}`,
      };
    }
    if (job.blockedBy > 0) return { ...head, code: 'dependencies', ...waitingForOthers(follows) };
    const { snapshot, nowMs } = await loadSnapshot(this.transactor.read, { asked: jobId });
    const waiting = explainWaiting(snapshot, nowMs, 0, jobId, this.policy);
    if (waiting === undefined) {
      return { ...head, code: 'next', detail: 'There is room for it; it starts with the next decision' };
    }
    return {
      ...head,
      code: waiting.code,
      detail: waiting.detail,
      change: waiting.change,
      position: await positionOf(this.transactor.read, jobId),
      clusters: waiting.clusters.map((c) => ({
        clusterId: c.clusterId,
        clusterName: c.name,
        verdict: c.says,
      })),
    };
  }

  /** What the decision said of the place beside its name. */
  private async whyThere(jobId: string, attempt: number): Promise<string> {
    const offered = await this.transactor.read.row<{ reason: string | null }>(
      `SELECT reason FROM scheduling.job_event
       WHERE job_id = $1 AND attempt = $2 AND subject = 'attempt' AND to_state = 'offered' LIMIT 1`,
      [jobId, attempt],
    );
    const reason = offered?.reason ?? '';
    return reason.includes(',') ? reason.slice(reason.indexOf(',')) : '';
  }
}

/** Jobs named in one sentence; all of them are in `follows`. */
const namedMost = 5;

function waitingForOthers(follows: readonly FollowedJob[]): { detail: string; change: string } {
  const open = follows.filter((job) => job.state !== 'succeeded');
  if (open.length === 0) {
    return {
      detail: 'The training of its model has succeeded; what it made is being recorded',
      change: 'Nothing: it may start as soon as that is done',
    };
  }
  const named = open.slice(0, namedMost).map((job) => `${job.jobId} (${job.name}), which is ${job.state}`);
  const more = open.length > namedMost ? `, and ${open.length - namedMost} more` : '';
  return {
    detail: `It follows ${named.join(', ')}${more}`,
    change: `It may start when ${open.length === 1 ? 'that job has' : 'all of them have'} succeeded; if one fails or is cancelled, it is cancelled too`,
  };
}
