import { listQuotas, type QuotaTarget, type QuotaView, setQuota } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';

/** Quotas of unfinished jobs, and of GPUs at the same time. */
export function registerQuotaCommands(program: Command, io: CliIo): void {
  const quota = program
    .command('quota')
    .description(
      'how many unfinished jobs, and GPUs at the same time, a lab, a person or a project may have',
    );

  examples(
    quota
      .command('list')
      .description('all quotas, and how much of each is used')
      .action(async () => {
        const { items } = await io.client().call(listQuotas, {});
        io.show(items, () => quotasTable(items));
      }),
    'quota list',
  );

  examples(
    quota
      .command('set')
      .description('set or lift a quota; what is not named stays as it is; for the secretariat')
      .argument('<subject>', 'id of a lab, a person, a suite or a study')
      .option('--jobs <number>', 'unfinished jobs at the same time, or "none" for any number')
      .option(
        '--gpus <number>',
        'GPUs that running jobs hold at the same time, or "none" for any number; what is beyond waits',
      )
      .action(async (subject: string, wish: { jobs?: string; gpus?: string }) => {
        if (wish.jobs === undefined && wish.gpus === undefined)
          throw new UsageError('--jobs, --gpus, or both: what the quota is of');
        const { items } = await io.client().call(setQuota, {
          body: {
            target: targetOf(subject),
            maxUnfinishedJobs: wish.jobs === undefined ? undefined : countOf('--jobs', wish.jobs),
            maxGpusAtOnce: wish.gpus === undefined ? undefined : countOf('--gpus', wish.gpus),
          },
        });
        io.show(items, () => quotasTable(items));
      }),
    'quota set lab_01ky0w3h5cqfzv8r4n2t6m9b7d --jobs 500',
    'quota set per_01ky0w3h5cqfzv8r4n2t6m9b7d --gpus 16',
    'quota set per_01ky0w3h5cqfzv8r4n2t6m9b7d --jobs none --gpus none',
  );
}

function quotasTable(items: readonly QuotaView[]): string {
  return formatTable(
    ['of', 'subject', 'unfinished jobs', 'at most', 'GPUs in use', 'at most', 'since', 'set by'],
    items.map((one) => [
      one.scope,
      one.subject,
      one.unfinishedJobs,
      one.maxUnfinishedJobs ?? 'any',
      one.gpusInUse,
      one.maxGpusAtOnce ?? 'any',
      one.setAt.slice(0, 19).replace('T', ' '),
      one.setBy,
    ]),
    'No quotas.',
  );
}

const scopes = { lab: 'lab', per: 'person', sui: 'project', stu: 'project' } as const;

function targetOf(subject: string): QuotaTarget {
  const kind = subject.slice(0, subject.indexOf('_'));
  const scope = scopes[kind as keyof typeof scopes];
  if (scope === undefined)
    throw new UsageError(`${subject}: the id of a lab, a person, a suite or a study, such as lab_…`);
  // The facility checks the id.
  return { scope, subject } as QuotaTarget;
}

function countOf(option: string, text: string): number | null {
  if (text === 'none') return null;
  if (!/^\d{1,7}$/.test(text)) throw new UsageError(`${option} ${text}: a number from 0, or none`);
  return Number(text);
}
