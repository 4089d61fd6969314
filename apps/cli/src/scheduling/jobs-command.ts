import { type JobView, jobKinds, jobStates, listJobs, streamJobs } from '@beamtime/contracts';
import { type Command, Option } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { jobsTable, progressText } from './describe-job.js';
import { readEvents } from './read-events.js';

/** A watch ends by Ctrl-C, or with the facility. */
const watchTimeoutMs = 2_147_000_000;

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
      .option('--watch', 'go on and print every change, as JSON lines with --json')
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

async function watch(io: CliIo, options: JobsOptions): Promise<void> {
  const query = options.suite === undefined ? {} : { suiteId: options.suite };
  const response = await io.client().raw(streamJobs, { query }, { timeoutMs: watchTimeoutMs });
  for await (const message of readEvents(response)) {
    if (message.type !== 'job' || !matches(message.job, options)) continue;
    const { job } = message;
    if (io.shared.json) io.write(`${JSON.stringify(job)}\n`);
    else {
      const where = job.clusterName === null ? '' : ` on ${job.clusterName}`;
      const time = new Date().toISOString().slice(11, 19);
      io.write(`${time}  ${job.jobId}  ${job.name}  ${job.state}${where}  ${progressText(job)}\n`);
    }
  }
}

function matches(job: JobView, { state, kind, lab, model }: JobsOptions): boolean {
  return (
    (state === undefined || job.state === state) &&
    (kind === undefined || job.kind === kind) &&
    (lab === undefined || job.labId === lab) &&
    (model === undefined || job.modelId === model)
  );
}
