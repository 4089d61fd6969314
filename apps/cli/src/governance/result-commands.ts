import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type EndpointSpec,
  getCertificate,
  getPabulib,
  getReport,
  getResult,
  listAdoptedSuites,
  type RoundResult,
  releaseSuite,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { CheckFailed } from '../core/usage-error.js';
import { findRoundId, hoursText } from './find-things.js';
import { recountRound } from './recount-round.js';

const roundArgument = 'id of the round, or `latest`';

/** What a count publishes, and what became of the adopted suites. */
export function registerResultCommands(round: Command, io: CliIo): void {
  examples(
    round
      .command('result')
      .description('who got what, and why each other proposal did not')
      .argument('<round>', roundArgument)
      .action(async (ref: string) => {
        const client = io.client();
        const result = await client.call(getResult, { params: { roundId: await findRoundId(client, ref) } });
        io.show(result, () => describeResult(result));
      }),
    'round result latest',
  );
  registerDocument(round, io, {
    name: 'certificate',
    endpoint: getCertificate,
    says: 'the receipt of the count, for `beamtime verify`',
    file: 'certificate.json',
  });
  registerDocument(round, io, {
    name: 'report',
    endpoint: getReport,
    says: 'the result as one page that opens from disk',
    file: 'report.html',
  });
  registerDocument(round, io, {
    name: 'export',
    endpoint: getPabulib,
    says: 'the closed vote in the format of pabulib.org',
    file: 'round.pb',
  });
  examples(
    round
      .command('recount')
      .description('count a closed vote again on this machine, from what is public, and compare')
      .argument('<round>', roundArgument)
      .action(async (ref: string) => {
        const recount = await recountRound(io.client(), await findRoundId(io.client(), ref));
        if (recount.differences.length > 0) {
          throw new CheckFailed(`the recount differs: ${recount.differences.join('; ')}`);
        }
        io.show(recount, () => `Same result: ${recount.summary}\n${recount.checks.join('\n')}`);
      }),
    'round recount latest',
  );
  registerSuites(round, io);
}

function registerDocument(
  round: Command,
  io: CliIo,
  { name, endpoint, says, file }: { name: string; endpoint: EndpointSpec; says: string; file: string },
): void {
  examples(
    round
      .command(name)
      .description(says)
      .argument('<round>', roundArgument)
      .option('--out <file>', 'write it to this file instead of stdout')
      .action(async (ref: string, { out }: { out?: string }) => {
        const client = io.client();
        const response = await client.raw(endpoint, { params: { roundId: await findRoundId(client, ref) } });
        const text = await response.text();
        if (out === undefined) {
          io.write(text.endsWith('\n') ? text : `${text}\n`);
          return;
        }
        writeFileSync(resolve(io.cwd, out), text);
        io.show({ file: out, bytes: Buffer.byteLength(text) }, () => `Wrote ${out}`);
      }),
    `round ${name} latest --out ${file}`,
  );
}

function registerSuites(round: Command, io: CliIo): void {
  examples(
    round
      .command('suites')
      .description('adopted suites and what is reserved for them')
      .argument('[round]', roundArgument)
      .action(async (ref: string | undefined) => {
        const client = io.client();
        const roundId = ref === undefined ? undefined : await findRoundId(client, ref);
        const { items } = await client.call(listAdoptedSuites, { query: { limit: 500, roundId } });
        io.show(items, () =>
          formatTable(
            ['suite', 'title', 'reserved', 'state', 'round'],
            items.map((one) => [one.suiteId, one.title, hoursText(one.gpuSeconds), one.state, one.roundId]),
            'No suite adopted yet',
          ),
        );
      }),
    'round suites latest',
  );
  examples(
    round
      .command('release')
      .description('return what an adopted suite has not spent of its reservation (secretariat)')
      .argument('<suite>', 'id of the suite (sui_…)')
      .requiredOption('--reason <text>', 'why')
      .action(async (suiteId: string, { reason }: { reason: string }) => {
        const released = await io.client().call(releaseSuite, { params: { suiteId }, body: { reason } });
        io.show(released, () => `${released.title} is ${released.state}`);
      }),
    'round release sui_01ky0w3h5cqfzv8r4n2t6m9b7d --reason "All models are trained"',
  );
}

function describeResult(result: RoundResult): string {
  const parts = [
    result.summary,
    '',
    formatTable(
      ['#', 'adopted', 'cost', 'why'],
      result.winners.map((one) => [one.order, one.title, hoursText(one.gpuSeconds), one.reason]),
      'Nothing was adopted',
    ),
  ];
  if (result.losers.length > 0) {
    const rows = result.losers.map((one) => [one.title, one.reason]);
    parts.push('', formatTable(['not adopted', 'why'], rows));
  }
  for (const { gpuType, gpuSeconds, spentGpuSeconds } of result.budgets) {
    parts.push('', `Budget ${gpuType}: ${hoursText(spentGpuSeconds)} of ${hoursText(gpuSeconds)} given out`);
  }
  parts.push('', `certificate sha256 ${result.certificateSha256 ?? '–'}`, `seed ${result.seed}`);
  return parts.join('\n');
}
