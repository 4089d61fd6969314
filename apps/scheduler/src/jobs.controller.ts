import {
  cancelJob,
  explainJob,
  type InputOf,
  type JobView,
  listJobEvents,
  listJobs,
  type ResponseOf,
  readJobLogs,
  readJobMetrics,
  showJob,
  streamJob,
  streamJobs,
  summarizeJobs,
} from '@beamtime/contracts';
import {
  deny,
  Endpoint,
  Gone,
  hasLabRole,
  hasRole,
  Input,
  labsOf,
  Person,
  type PersonPrincipal,
  unwrap,
} from '@beamtime/platform';
import { CancelJob, ExplainJob, type JobRecord, JobStream, JobTraces, JobViews } from '@beamtime/scheduling';
import { Controller, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';
import { lastEventId, sendEvents } from './send-events.js';

/** Jobs, for people. The fixed paths come before `/jobs/:jobId`, which would take them for ids. */
@Controller()
export class JobsController {
  constructor(
    @Inject(JobViews) private readonly jobs: JobViews,
    @Inject(JobTraces) private readonly traces: JobTraces,
    @Inject(JobStream) private readonly live: JobStream,
    @Inject(ExplainJob) private readonly explain: ExplainJob,
    @Inject(CancelJob) private readonly cancelJob: CancelJob,
  ) {}

  @Endpoint(listJobs)
  list(@Input() input: InputOf<typeof listJobs>): Promise<ResponseOf<typeof listJobs>> {
    return this.jobs.list(input.query);
  }

  @Endpoint(summarizeJobs)
  summarize(): Promise<ResponseOf<typeof summarizeJobs>> {
    return this.jobs.summarize();
  }

  @Endpoint(streamJobs)
  async streamAll(
    @Input() input: InputOf<typeof streamJobs>,
    @Gone() gone: AbortSignal,
    @Res() response: Response,
  ): Promise<void> {
    await sendEvents(response, this.live.ofAll(input.query.suiteId ?? null, gone));
  }

  @Endpoint(showJob)
  async show(
    @Input() input: InputOf<typeof showJob>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof showJob>> {
    const job = await this.known(input.params.jobId);
    const [history, runner, follows] = await Promise.all([
      this.jobs.attemptsOf(job.jobId),
      this.jobs.runnerOf(job.jobId),
      this.jobs.followedBy(job.jobId),
    ]);
    // Everybody sees the jobs; somebody's own programs, and the variables they get, are for their lab.
    return { ...job, history, follows, runner: mayRead(caller, job) ? runner : { kind: job.kind } };
  }

  @Endpoint(cancelJob)
  async cancel(
    @Input() input: InputOf<typeof cancelJob>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof cancelJob>> {
    unwrap(
      await this.cancelJob.execute({
        jobId: input.params.jobId,
        reason: input.body.reason ?? `cancelled by ${caller.personId}`,
        actor: caller.personId,
        allowed: (job) => mayCancel(caller, job),
      }),
    );
    return this.known(input.params.jobId);
  }

  @Endpoint(explainJob)
  async why(@Input() input: InputOf<typeof explainJob>): Promise<ResponseOf<typeof explainJob>> {
    return (await this.explain.execute(input.params.jobId)) ?? noJob(input.params.jobId);
  }

  @Endpoint(listJobEvents)
  async events(@Input() input: InputOf<typeof listJobEvents>): Promise<ResponseOf<typeof listJobEvents>> {
    const job = await this.known(input.params.jobId);
    return { items: await this.traces.events(job.jobId, input.query.afterId, input.query.limit) };
  }

  @Endpoint(readJobLogs)
  async logs(@Input() input: InputOf<typeof readJobLogs>): Promise<ResponseOf<typeof readJobLogs>> {
    const job = await this.known(input.params.jobId);
    const attempt = input.query.attempt ?? (await this.traces.lastAttempt(job.jobId));
    if (attempt === null) return { attempt: null, items: [], droppedBytes: 0 };
    const logs = await this.traces.logs(job.jobId, attempt, input.query.afterSeq, input.query.limit);
    return { attempt, ...logs };
  }

  @Endpoint(readJobMetrics)
  async metrics(@Input() input: InputOf<typeof readJobMetrics>): Promise<ResponseOf<typeof readJobMetrics>> {
    const job = await this.known(input.params.jobId);
    return { items: await this.traces.metrics(job.jobId, input.query.afterStep, input.query.limit) };
  }

  @Endpoint(streamJob)
  async stream(
    @Input() input: InputOf<typeof streamJob>,
    @Gone() gone: AbortSignal,
    @Res() response: Response,
  ): Promise<void> {
    const job = await this.known(input.params.jobId);
    const { logs, fromAttempt, after } = input.query;
    const from = { logs, fromAttempt, after: lastEventId(response) ?? after };
    await sendEvents(response, this.live.ofJob(job.jobId, from, gone));
  }

  private async known(jobId: string): Promise<JobView> {
    return (await this.jobs.find(jobId)) ?? noJob(jobId);
  }
}

function noJob(jobId: string): never {
  deny('resource.not-found', `There is no job ${jobId}`);
}

function mayRead(caller: PersonPrincipal, job: JobView): boolean {
  return (
    job.kind !== 'command' ||
    hasRole(caller, 'secretariat') ||
    job.submittedBy === caller.personId ||
    (labsOf(caller) as (string | null)[]).includes(job.labId)
  );
}

function mayCancel(caller: PersonPrincipal, job: JobRecord): boolean {
  return (
    hasRole(caller, 'secretariat') ||
    job.submitted_by === caller.personId ||
    (job.lab_id !== null && hasLabRole(caller, job.lab_id, 'operator', 'delegate'))
  );
}
