import {
  checkBooks,
  gpuSecondsReport,
  lendToOperations,
  listAccounts,
  listJournal,
} from '@beamtime/contracts';
import type { Unit } from '@beamtime/kernel';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { CheckFailed } from '../core/usage-error.js';
import { findLabId, gpuSecondsOf } from '../governance/find-things.js';
import { minuteOf } from './read-amounts.js';

/** The books of all units, for everybody to check. */
export function registerBooksCommands(program: Command, io: CliIo): void {
  const books = program.command('books').description('the ledger: check it, and see where units went');
  registerChecking(books, io);
  registerLooking(books, io);
  registerLending(books, io);
}

function registerChecking(books: Command, io: CliIo): void {
  examples(
    books
      .command('check')
      .description('check the ledger: balanced, never overdrawn, every balance what the journal says')
      .action(async () => {
        const result = await io.client().call(checkBooks, {});
        io.show(result, () =>
          [
            formatTable(
              ['', 'check', 'says'],
              result.checks.map((one) => [
                one.violations === 0 ? '✓' : '✗',
                one.name,
                one.violations === 0 ? one.says : `${one.violations} violations, such as ${one.example}`,
              ]),
            ),
            '',
            formatTable(
              ['unit', 'issued', 'available', 'held', 'used', 'entries'],
              result.totals.map((one) => [
                one.unit,
                one.issued,
                one.available,
                one.held,
                one.used,
                one.entries,
              ]),
            ),
          ].join('\n'),
        );
        if (!result.ok) throw new CheckFailed('The books are not in order');
      }),
    'books check',
  );

  examples(
    books
      .command('gpu-seconds')
      .description('where the GPU-seconds of the rounds went: held = used + given back + still held')
      .action(async () => {
        const report = await io.client().call(gpuSecondsReport, {});
        io.show(report, () =>
          [
            formatTable(
              ['round', 'funded', 'reserved', 'to operations', 'left'],
              report.rounds.map((one) => [one.round, one.funded, one.reserved, one.toOperations, one.left]),
              'No round is funded yet',
            ),
            '',
            formatTable(
              ['account', 'jobs', 'held', 'used', 'given back', 'still held', 'balance'],
              [
                ...report.accounts.map((one) => [
                  one.account,
                  one.jobs,
                  one.held,
                  one.used,
                  one.returned,
                  one.stillHeld,
                  one.balance,
                ]),
                [
                  'all',
                  report.accounts.reduce((jobs, one) => jobs + one.jobs, 0),
                  report.total.held,
                  report.total.used,
                  report.total.returned,
                  report.total.stillHeld,
                  null,
                ],
              ],
            ),
          ].join('\n'),
        );
      }),
    'books gpu-seconds',
  );
}

function registerLooking(books: Command, io: CliIo): void {
  examples(
    books
      .command('accounts')
      .description('the accounts at and below an owner')
      .argument(
        '[below]',
        '`consortium`, `operations`, lab:…, round:…, suite:… or allocation:…',
        'consortium',
      )
      .action(async (below: string) => {
        const { items } = await io.client().call(listAccounts, { query: { below } });
        io.show(items, () =>
          formatTable(
            ['account', 'unit', 'below', 'balance', 'held', 'used', 'available'],
            items.map((one) => [
              one.owner,
              one.unit,
              one.parent,
              one.balance,
              one.held,
              one.used,
              one.available,
            ]),
          ),
        );
      }),
    'books accounts',
    'books accounts operations',
  );

  examples(
    books
      .command('journal')
      .description('the entries of the ledger, oldest first')
      .option('--account <owner>', 'only those of this account')
      .option('--unit <unit>', 'only those of this unit')
      .option('--reference <id>', 'only those for this job, request, round or allocation')
      .option('--after <seq>', 'only those after this number', '0')
      .option('--limit <n>', 'entries at most', '50')
      .action(
        async (wish: { account?: string; unit?: Unit; reference?: string; after: string; limit: string }) => {
          const { items } = await io.client().call(listJournal, {
            query: {
              account: wish.account,
              unit: wish.unit,
              reference: wish.reference,
              afterSeq: Number(wish.after),
              limit: Number(wish.limit),
            },
          });
          io.show(items, () =>
            formatTable(
              ['#', 'when', 'kind', 'amount', 'unit', 'from', 'to', 'for'],
              items.map((one) => [
                one.seq,
                minuteOf(one.at),
                one.kind,
                one.amount,
                one.unit,
                one.debit,
                one.credit,
                one.reference,
              ]),
            ),
          );
        },
      ),
    'books journal --account operations --limit 20',
  );
}

function registerLending(books: Command, io: CliIo): void {
  examples(
    books
      .command('lend')
      .description('lend GPU time of a lab for serving and evaluating, outside any round')
      .argument('<time>', 'how much: 40h, 90m or 3600s')
      .requiredOption('--lab <lab>', 'short name or id of the lab')
      .requiredOption(
        '--id <text>',
        'a name of yours for this loan, 8 to 80 letters, digits, - or _: sent again, it is booked once',
      )
      .requiredOption('--reason <text>', 'why')
      .action(async (time: string, wish: { lab: string; id: string; reason: string }) => {
        const client = io.client();
        const labId = await findLabId(client, wish.lab);
        const lent = await client.call(lendToOperations, {
          body: { loanId: wish.id, labId, gpuSeconds: gpuSecondsOf(time), reason: wish.reason },
        });
        io.show(lent, () => `Operations has ${lent.available} GPU-seconds now`);
      }),
    'books lend 10h --lab lab-a --id spring-2026 --reason "A quiet month"',
  );
}
