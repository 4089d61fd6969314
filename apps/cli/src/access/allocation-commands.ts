import {
  amendAllocation,
  type ClientResponseOf,
  closeAllocation,
  createAllocationKey,
  limitPerson,
  listAllocations,
  listUsage,
  resumeAllocation,
  type Scope,
  showAllocation,
  suspendAllocation,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { collect, grouped, minuteOf, readAmounts, readTime } from './read-amounts.js';

type Allocation = ClientResponseOf<typeof listAllocations>['items'][number];

const anId = 'alc_01ky0w3h5cqfzv8r4n2t6m9b7d';
const ofAllocation = 'id of the allocation (alc_…)';

/** Allocations, their use and their keys. */
export function registerAllocationCommands(program: Command, io: CliIo): void {
  const allocation = program
    .command('allocation')
    .description('what you may use: units, scopes, keys, and what was used');
  registerReading(allocation, io);
  registerKeys(allocation, io);
  registerChanging(allocation, io);
}

function registerReading(allocation: Command, io: CliIo): void {
  examples(
    allocation
      .command('list')
      .description('allocations that you may see')
      .action(async () => {
        const items: Allocation[] = [];
        let after: string | undefined;
        do {
          const page = await io.client().call(listAllocations, { query: { limit: 500, after } });
          items.push(...page.items);
          after = page.next ?? undefined;
        } while (after !== undefined);
        io.show(items, () =>
          formatTable(
            ['allocation', 'title', 'state', 'until', 'available'],
            items.map((one) => [
              one.allocationId,
              one.title,
              one.state,
              minuteOf(one.endsAt),
              one.balances.map(({ unit, available }) => `${grouped(available)} ${unit}`).join(', '),
            ]),
            'No allocations; apply for one with: beamtime apply --help',
          ),
        );
      }),
    'allocation list',
  );

  examples(
    allocation
      .command('show')
      .description('what an allocation grants, holds and has used')
      .argument('<allocation>', ofAllocation)
      .action(async (allocationId: string) => {
        const shown = await io.client().call(showAllocation, { params: { allocationId } });
        io.show(shown, () => describe(shown));
      }),
    `allocation show ${anId}`,
  );

  examples(
    allocation
      .command('usage')
      .description('each request of an allocation, newest first, with what it held and used')
      .argument('<allocation>', ofAllocation)
      .option('--limit <n>', 'requests at most', '50')
      .option('--request <id>', 'only the request with this id')
      .action(async (allocationId: string, wish: { limit: string; request?: string }) => {
        const usage = await io.client().call(listUsage, {
          params: { allocationId },
          query: { limit: Number(wish.limit), requestId: wish.request },
        });
        io.show(usage, () =>
          [
            formatTable(
              ['when', 'request', 'model', 'revision', 'unit', 'held', 'used', 'state'],
              usage.items.map((one) => [
                minuteOf(one.at),
                one.requestId,
                one.modelId,
                one.revision,
                one.unit,
                one.held,
                one.used,
                one.state,
              ]),
              'No requests yet',
            ),
            '',
            formatTable(
              ['unit', 'requests', 'held', 'used', 'given back'],
              usage.totals.map((one) => [one.unit, one.requests, one.held, one.used, one.returned]),
              '',
            ),
          ].join('\n'),
        );
      }),
    `allocation usage ${anId} --limit 20`,
  );
}

function registerKeys(allocation: Command, io: CliIo): void {
  const key = allocation.command('key').description('API keys of an allocation');
  examples(
    key
      .command('create')
      .description('make an API key; it is shown only now')
      .argument('<allocation>', ofAllocation)
      .requiredOption('--label <text>', 'where you will use it, such as laptop')
      .option('--scope <scope>', 'carry only these scopes; may be repeated', collect)
      .option('--until <time>', 'when it ends; with the allocation unless said')
      .action(async (allocationId: string, wish: { label: string; scope?: Scope[]; until?: string }) => {
        const made = await io.client().call(createAllocationKey, {
          params: { allocationId },
          body: {
            label: wish.label,
            scopes: wish.scope,
            expiresAt: wish.until === undefined ? undefined : readTime(wish.until, new Date()),
          },
        });
        io.show(made, () =>
          [
            formatFields({ key: made.keyId, token: made.token, scopes: made.scopes.join(', ') }),
            'Keep the token now: it cannot be shown again. Use it as OPENAI_API_KEY or BEAMTIME_TOKEN.',
          ].join('\n'),
        );
      }),
    `allocation key create ${anId} --label laptop --scope outputs`,
  );
}

function registerChanging(allocation: Command, io: CliIo): void {
  examples(
    allocation
      .command('limit')
      .description('limit what one person may use of your allocation')
      .argument('<allocation>', ofAllocation)
      .argument('<person>', 'id of the person (per_…)')
      .requiredOption('--units <unit=amount>', 'the most of one unit, such as tokens=10k')
      .action(async (allocationId: string, personId: string, { units }: { units: string }) => {
        const [most] = readAmounts([units]);
        if (most === undefined) return;
        const share = await io.client().call(limitPerson, {
          params: { allocationId, personId },
          body: { unit: most.unit, limit: most.amount },
        });
        io.show(share, () => `${personId} may use ${grouped(share.available)} more ${share.unit}`);
      }),
    `allocation limit ${anId} per_01ky0w3h5cqfzv8r4n2t6m9b7d --units tokens=10k`,
  );

  examples(
    allocation
      .command('amend')
      .description('as secretariat, supplement an allocation with units or extend it')
      .argument('<allocation>', ofAllocation)
      .requiredOption('--id <text>', 'a name of yours for this amendment: sent again, it is booked once')
      .requiredOption('--reason <text>', 'why')
      .option('--units <unit=amount>', 'units on top, such as tokens=100k; may be repeated', collect)
      .option('--until <time>', 'a later end')
      .action(
        async (
          allocationId: string,
          wish: { id: string; reason: string; units?: string[]; until?: string },
        ) => {
          const amended = await io.client().call(amendAllocation, {
            params: { allocationId },
            body: {
              amendmentId: wish.id,
              reason: wish.reason,
              supplement: wish.units === undefined ? undefined : readAmounts(wish.units),
              endsAt: wish.until === undefined ? undefined : readTime(wish.until, new Date()),
            },
          });
          io.show(amended, () => describe(amended));
        },
      ),
    `allocation amend ${anId} --id second-study --reason "A second language" --units tokens=100k`,
  );

  const steps = [
    ['close', 'end an allocation early and give back what is left', closeAllocation],
    ['suspend', 'as secretariat, stop an allocation for now', suspendAllocation],
    ['resume', 'as secretariat, let a suspended allocation go on', resumeAllocation],
  ] as const;
  for (const [name, description, spec] of steps) {
    examples(
      allocation
        .command(name)
        .description(description)
        .argument('<allocation>', ofAllocation)
        .requiredOption('--reason <text>', 'why')
        .action(async (allocationId: string, { reason }: { reason: string }) => {
          const changed = await io.client().call(spec, { params: { allocationId }, body: { reason } });
          io.show(changed, () => `${changed.title} is ${changed.state}`);
        }),
      `allocation ${name} ${anId} --reason "The study is done"`,
    );
  }
}

function describe(allocation: Allocation): string {
  return [
    formatFields({
      allocation: allocation.allocationId,
      title: allocation.title,
      state: allocation.state,
      models: allocation.models.join(', '),
      scopes: allocation.scopes.join(', '),
      period: `${minuteOf(allocation.startsAt)} to ${minuteOf(allocation.endsAt)}`,
    }),
    '',
    formatTable(
      ['unit', 'granted', 'available', 'held', 'used'],
      allocation.balances.map((one) => [one.unit, one.granted, one.available, one.held, one.used]),
    ),
  ].join('\n');
}
