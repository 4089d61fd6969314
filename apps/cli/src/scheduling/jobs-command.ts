import { type JobView, jobKinds, jobStates, listJobs, streamJobs } from '@beamtime/contracts';
import { type Command, Option } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { LiveLines } from '../core/live-screen.js';
import { jobsTable, progressText } from './describe-job.js';
import { followStream } from './read-events.js';

interface JobsOptions {
  readonly state?: JobView['state'];
  readonly kind?: JobView['kind'];
  readonly lab?: string;
  readonly suite?: string;
  readonly model?: string;
  readonly limit: string;
  readonly watch?: true;
}

export function registerJobsCommand(program: Command, io: CliIo): void {
  examples(
    program
      .command('jobs')
      .description('jobs of the consortium, newest first; with --watch as they change')
      .addOption(new Option('--state <state>', 'only these').choices(jobStates))
      .addOption(new Option('--kind <kind>', 'only these').choices(jobKinds))
      .option('--lab <labId>', 'only jobs of this lab')
      .option('--suite <suiteId>', 'only jobs of this suite')
      .option('--model <modelId>', 'only jobs of this model')
      .option('--limit <count>', 'so many at most', '50')
      .option(
        '--watch',
        'go on until Ctrl-C: a live table on a terminal, otherwise a line for every change (JSON lines with --json)',
      )
      .action((options: JobsOptions) => (options.watch === true ? watch(io, options) : list(io, options))),
    'jobs',
    'jobs --state queued',
    'jobs --watch',
  );
}

async function list(io: CliIo, options: JobsOptions): Promise<void> {
  const page = await io.client().call(listJobs, {
    query: {
      limit: Number(options.limit),
      state: options.state,
      kind: options.kind,
      labId: options.lab,
      suiteId: options.suite,
      modelId: options.model,
    },
  });
  io.show(page.items, () => jobsTable(page.items));
}

/** Newest first, as the list has them. On a terminal a table that is drawn again in place; elsewhere a line per change. */
async function watch(io: CliIo, options: JobsOptions): Promise<void> {
  const query = options.suite === undefined ? {} : { suiteId: options.suite };
  const limit = Number(options.limit);
  const jobs = new Map<string, JobView>();
  const live = io.screen.isTerminal ? new LiveLines(io.screen) : undefined;
  let lost = '';
  const table = (): string[] => {
    const newest = [...jobs.values()].sort((a, b) => (a.jobId < b.jobId ? 1 : -1)).slice(0, limit);
    return [...jobsTable(newest).split('\n'), ...(lost === '' ? [] : [`(${lost})`])];
  };
  const onLost = (why: string): void => {
    lost = `connection lost, trying again: ${why}`;
    if (live === undefined) io.note(lost);
    else live.draw(table);
  };
  const onBack = (): void => {
    lost = '';
    if (live === undefined) io.note('connected again');
    else live.draw(table);
  };
  try {
    live?.draw(table);
    await io.untilInterrupted(async (signal) => {
      for await (const message of followStream(
        io.client(),
        streamJobs,
        { query },
        { signal, onLost, onBack },
      )) {
        if (message.type !== 'job') continue;
        const { job } = message;
        const shown = jobs.has(job.jobId);
        if (matches(job, options)) jobs.set(job.jobId, job);
        else if (!jobs.delete(job.jobId)) continue;
        forgetOldest(jobs, limit);
        if (live !== undefined) live.draw(table);
        else if (matches(job, options) || shown) appendJob(io, job);
      }
    });
  } finally {
    live?.end();
  }
}

/** Of what ended long ago nothing is shown any more. */
function forgetOldest(jobs: Map<string, JobView>, limit: number): void {
  if (jobs.size <= limit * 4 + 1_000) return;
  const oldest = [...jobs.keys()].sort()[0];
  if (oldest !== undefined) jobs.delete(oldest);
}

function appendJob(io: CliIo, job: JobView): void {
  if (io.shared.json) {
    io.write(`${JSON.stringify(job)}\n`);
    return;
  }
  const where = job.clusterName === null ? '' : ` on ${job.clusterName}`;
  const time = new Date().toISOString().slice(11, 19);
  io.write(`${time}  ${job.jobId}  ${job.name}  ${job.state}${where}  ${progressText(job)}\n`);
}

function matches(job: JobView, { state, kind, lab, model }: JobsOptions): boolean {
  return (
    (state === undefined || job.state === state) &&
    (kind === undefined || job.kind === kind) &&
    (lab === undefined || job.labId === lab) &&
    (model === undefined || job.modelId === model)
  );
}
