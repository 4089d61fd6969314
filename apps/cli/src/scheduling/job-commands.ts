import {
  cancelJob,
  explainJob,
  type JobStreamMessage,
  type JobView,
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
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { describeJob } from './describe-job.js';
import { explainWaiting } from './explain-waiting.js';
import { followStream } from './read-events.js';

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
        io.show(why, () => explainWaiting(why));
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
      .option('-f, --follow', 'go on until the job has ended; Ctrl-C leaves the job alone')
      .action((jobId: string, options: { attempt?: string; follow?: true }) =>
        options.follow === true
          ? followLogs(io, jobId, options.attempt)
          : printLogs(io, jobId, options.attempt),
      ),
    `job logs ${example}`,
    `job logs ${example} -f`,
  );

  examples(
    job
      .command('watch')
      .description('a job as it happens, until it has ended; exit code 1 when it has not succeeded')
      .argument('<job>', 'job id')
      .action((jobId: string) => watchJob(io, jobId)),
    `job watch ${example}`,
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
      query: { afterSeq, limit: 500, ...(attempt === undefined ? {} : { attempt: attemptNumber(attempt) }) },
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

/** From the attempt that is asked for, or the present one, on. What is printed is the program's output and nothing else. */
async function followLogs(io: CliIo, jobId: string, attempt: string | undefined): Promise<void> {
  const client = io.client();
  const fromAttempt =
    attempt === undefined
      ? Math.max(1, (await client.call(showJob, { params: { jobId } })).attempts)
      : attemptNumber(attempt);
  await io.untilInterrupted(async (signal) => {
    const input = { params: { jobId }, query: { fromAttempt } };
    for await (const message of followStream(client, streamJob, input, { signal, ...tellLoss(io) })) {
      if (message.type === 'log') {
        if (io.shared.json) io.write(`${JSON.stringify(message)}\n`);
        else io.write(message.chunk.text);
      } else if (
        message.type === 'event' &&
        message.event.to === 'accepted' &&
        (message.event.attempt ?? 0) > fromAttempt
      )
        io.note(`── attempt ${message.event.attempt}`);
    }
  });
}

/** Everything about one job as it happens. Exit code 1 when it has not succeeded, so that scripts can wait for it. */
async function watchJob(io: CliIo, jobId: string): Promise<void> {
  let job: JobView | undefined;
  const interrupted = await io.untilInterrupted(async (signal) => {
    const input = { params: { jobId }, query: { logs: 'false' as const } };
    for await (const message of followStream(io.client(), streamJob, input, { signal, ...tellLoss(io) })) {
      if (message.type === 'job') job = message.job;
      if (io.shared.json) io.write(`${JSON.stringify(message)}\n`);
      else io.write(lineOf(message));
    }
    return signal.aborted;
  });
  if (!interrupted && job !== undefined && job.state !== 'succeeded')
    throw new CheckFailed(`The job has ${job.state}${job.reason === null ? '' : `: ${job.reason}`}`);
}

function lineOf(message: JobStreamMessage): string {
  if (message.type === 'event') {
    const { event } = message;
    const what = event.attempt === null ? event.subject : `attempt ${event.attempt}`;
    return `${event.at.slice(11, 19)}  ${what}: ${event.to}${event.reason === null ? '' : `, ${event.reason}`}\n`;
  }
  if (message.type === 'metrics') {
    const last = message.points.at(-1);
    return last === undefined ? '' : `          step ${last.step}  loss ${last.loss?.toFixed(4) ?? '–'}\n`;
  }
  return '';
}

function tellLoss(io: CliIo): { onLost: (why: string) => void; onBack: () => void } {
  return {
    onLost: (why) => io.note(`connection lost, trying again: ${why}`),
    onBack: () => io.note('connected again'),
  };
}

function attemptNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--attempt ${text}: a number from 1`);
  return Number(text);
}
