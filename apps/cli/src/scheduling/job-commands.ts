import {
  cancelJob,
  explainJob,
  type LogChunk,
  listJobEvents,
  readJobLogs,
  readJobMetrics,
  showJob,
  streamJob,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { describeJob } from './describe-job.js';
import { readEvents } from './read-events.js';

const followTimeoutMs = 2_147_000_000;
const example = 'job_01ky0w3h5cqfzv8r4n2t6m9b7d';

/** Answers the group, to which other files add. */
export function registerJobCommands(program: Command, io: CliIo): Command {
  const job = program.command('job').description('one job: submit, show, explain, follow, cancel');

  examples(
    job
      .command('show')
      .description('a job with its attempts, and why it ended as it did')
      .argument('<job>', 'job id')
      .action(async (jobId: string) => {
        const found = await io.client().call(showJob, { params: { jobId } });
        io.show(found, () => describeJob(found));
      }),
    `job show ${example}`,
  );

  examples(
    job
      .command('why')
      .description('what a job waits for, and what would have to change')
      .argument('<job>', 'job id')
      .action(async (jobId: string) => {
        const why = await io.client().call(explainJob, { params: { jobId } });
        io.show(why, () => {
          const place = why.position === null ? '' : ` (number ${why.position} in turn)`;
          const change = why.change === null ? '' : `\n${why.change}`;
          const clusters = why.clusters.map((one) => `  ${one.clusterName}: ${one.verdict}`).join('\n');
          return `${why.detail}${place}${change}${clusters === '' ? '' : `\n${clusters}`}`;
        });
      }),
    `job why ${example}`,
  );

  examples(
    job
      .command('events')
      .description('the history of a job: every change with who made it and why')
      .argument('<job>', 'job id')
      .action(async (jobId: string) => {
        const { items } = await io
          .client()
          .call(listJobEvents, { params: { jobId }, query: { limit: 1_000 } });
        io.show(items, () =>
          formatTable(
            ['at', 'what', 'to', 'by', 'why'],
            items.map((event) => [
              event.at.slice(0, 19).replace('T', ' '),
              event.attempt === null ? event.subject : `attempt ${event.attempt}`,
              event.to,
              event.actor,
              event.reason?.slice(0, 100),
            ]),
          ),
        );
      }),
    `job events ${example}`,
  );

  examples(
    job
      .command('logs')
      .description('what an attempt of a job has printed; with --follow as it prints')
      .argument('<job>', 'job id')
      .option('--attempt <number>', 'which attempt; the last one by default')
      .option('--follow', 'go on until the job has ended')
      .action((jobId: string, options: { attempt?: string; follow?: true }) =>
        options.follow === true ? follow(io, jobId) : printLogs(io, jobId, options.attempt),
      ),
    `job logs ${example}`,
    `job logs ${example} --follow`,
  );

  examples(
    job
      .command('metrics')
      .description('loss by training step')
      .argument('<job>', 'job id')
      .action(async (jobId: string) => {
        const { items } = await io
          .client()
          .call(readJobMetrics, { params: { jobId }, query: { limit: 20_000 } });
        const every = Math.max(1, Math.ceil(items.length / 40));
        const shown = items.filter((_, index) => index % every === 0 || index === items.length - 1);
        io.show(items, () =>
          formatTable(
            ['step', 'loss', 'tokens/s', 'attempt'],
            shown.map((point) => [point.step, point.loss, point.tokensPerSecond, point.attempt]),
            'No metrics yet.',
          ),
        );
      }),
    `job metrics ${example} --json`,
  );

  examples(
    job
      .command('cancel')
      .description('cancel a job; one that has ended stays as it is')
      .argument('<job>', 'job id')
      .option('--reason <text>', 'kept in its history')
      .action(async (jobId: string, { reason }: { reason?: string }) => {
        const body = reason === undefined ? {} : { reason };
        const after = await io.client().call(cancelJob, { params: { jobId }, body });
        io.show(after, () =>
          formatFields({
            job: jobId,
            state: after.state === 'running' ? 'its agent is told to stop it' : after.state,
          }),
        );
      }),
    `job cancel ${example} --reason "wrong corpus"`,
  );
  return job;
}

async function printLogs(io: CliIo, jobId: string, attempt: string | undefined): Promise<void> {
  const chunks: LogChunk[] = [];
  let droppedBytes = 0;
  for (let afterSeq = -1; ; ) {
    const page = await io.client().call(readJobLogs, {
      params: { jobId },
      query: { afterSeq, limit: 500, ...(attempt === undefined ? {} : { attempt: Number(attempt) }) },
    });
    chunks.push(...page.items);
    ({ droppedBytes } = page);
    const last = page.items.at(-1);
    if (last === undefined) break;
    afterSeq = last.seq;
  }
  io.show(chunks, () => chunks.map((chunk) => chunk.text).join('') || 'Nothing printed.');
  if (droppedBytes > 0) io.note(`${droppedBytes} more bytes were over the limit of one attempt and not kept`);
}

async function follow(io: CliIo, jobId: string): Promise<void> {
  const spec = streamJob;
  const response = await io.client().raw(spec, { params: { jobId } }, { timeoutMs: followTimeoutMs });
  for await (const message of readEvents(response)) {
    if (io.shared.json) io.write(`${JSON.stringify(message)}\n`);
    else if (message.type === 'log') io.write(message.chunk.text);
    else if (message.type === 'event') {
      const { event } = message;
      io.write(`── ${event.to}${event.reason === null ? '' : `: ${event.reason}`}\n`);
    } else if (message.type === 'metrics') {
      const last = message.points.at(-1);
      if (last !== undefined) io.write(`   step ${last.step}  loss ${last.loss?.toFixed(4) ?? '–'}\n`);
    }
  }
}
