import type { JobStreamMessage } from '@beamtime/contracts';
import { isTerminal } from '@beamtime/kernel';
import { Inject, Injectable } from '@nestjs/common';
import { jobLifecycle } from '../domain/job-lifecycle.js';
import { JobTraces } from './job-traces.js';
import { JobViews } from './job-views.js';

/** How often a live view looks; people do not read faster. */
const lookEveryMs = 400;
const perLook = 500;

/** What happens to jobs, as it happens, read from the database: any instance can tell, and none keeps state. */
@Injectable()
export class JobStream {
  constructor(
    @Inject(JobViews) private readonly jobs: JobViews,
    @Inject(JobTraces) private readonly traces: JobTraces,
  ) {}

  /** All of one job from its beginning, until it has ended or the reader is gone. */
  async *ofJob(jobId: string, withLogs: boolean, gone: AbortSignal): AsyncGenerator<JobStreamMessage> {
    let last = '';
    let afterId = 0;
    let afterStep = -1;
    let log = { attempt: 0, afterSeq: -1 };
    while (!gone.aborted) {
      const job = await this.jobs.find(jobId);
      if (job === undefined) return;
      let more = false;
      for (const event of await this.traces.events(jobId, afterId, perLook)) {
        afterId = event.id;
        more = true;
        yield { type: 'event', jobId, event };
      }
      const points = await this.traces.metrics(jobId, afterStep, perLook);
      if (points.length > 0) {
        afterStep = points.at(-1)?.step ?? afterStep;
        more = true;
        yield { type: 'metrics', jobId, points };
      }
      if (withLogs && job.attempts > 0) {
        if (log.attempt !== job.attempts) log = { attempt: job.attempts, afterSeq: -1 };
        const { items } = await this.traces.logs(jobId, log.attempt, log.afterSeq, perLook);
        for (const chunk of items) {
          log.afterSeq = chunk.seq;
          more = true;
          yield { type: 'log', jobId, attempt: log.attempt, chunk };
        }
      }
      const text = JSON.stringify(job);
      if (text !== last) yield { type: 'job', job };
      last = text;
      // The state was read first: what was written until then has all been told.
      if (!more && isTerminal(jobLifecycle, job.state)) return;
      if (!more) await pause(lookEveryMs, gone);
    }
  }

  /** Every change of a job from now on. */
  async *ofAll(suiteId: string | null, gone: AbortSignal): AsyncGenerator<JobStreamMessage> {
    const seen = new Map<string, string>();
    // A transaction that is committed late carries an earlier time: look back a little, tell nothing twice.
    const overlapMs = 5_000;
    let since = new Date(Date.now() - overlapMs);
    const first = await this.jobs.list({
      limit: 500,
      ...(suiteId === null ? {} : { suiteId: suiteId as never }),
    });
    for (const job of first.items) {
      seen.set(job.jobId, JSON.stringify(job));
      yield { type: 'job', job };
    }
    while (!gone.aborted) {
      const changed = await this.jobs.changedSince(since, suiteId, perLook);
      for (const { job, updatedAt } of changed) {
        const text = JSON.stringify(job);
        if (seen.get(job.jobId) !== text) yield { type: 'job', job };
        if (isTerminal(jobLifecycle, job.state)) seen.delete(job.jobId);
        seen.set(job.jobId, text);
        since = new Date(Math.max(since.getTime(), updatedAt.getTime() - overlapMs));
      }
      await pause(lookEveryMs, gone);
    }
  }
}

function pause(ms: number, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      gone.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    gone.addEventListener('abort', done, { once: true });
    if (gone.aborted) done();
  });
}
