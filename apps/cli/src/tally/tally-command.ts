import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  counterfactuals,
  type PabulibElection,
  pabulibTallyInput,
  renderTallyReport,
  type TallyResult,
  tally,
} from '@beamtime/governance/tally';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { UsageError } from '../core/usage-error.js';
import { chooseRule, type RuleOptions } from './choose-rule.js';
import { describeTally } from './describe-tally.js';
import { readElectionFile } from './read-election-file.js';

interface TallyOptions extends RuleOptions {
  readonly seed: string;
  readonly certificate?: string;
  readonly report?: string;
  readonly asApproval?: boolean;
}

export function registerTallyCommand(program: Command, io: CliIo): void {
  examples(
    program
      .command('tally')
      .description(
        'count a participatory-budgeting election (a pabulib.org file) by any rule, without a server',
      )
      .argument('<file>', 'election in the format of pabulib.org (.pb)')
      .option('--rule <rule>', 'equal-shares, phragmen or greedy', 'equal-shares')
      .option(
        '--utility <utility>',
        'cost: support counts by what a project costs (greedy: most votes first); cardinality: every winner counts the same (greedy: most votes per cost first)',
        'cost',
      )
      .option('--completion <way>', 'how Equal Shares spends the rest: none, add1, add1u or phragmen', 'none')
      .option('--increment <amount>', 'by how much Add1 raises endowments at a time (1)')
      .option('--threshold <votes>', 'leave out projects with fewer votes or points than this')
      .option('--skip', 'greedy, phragmen: pass over what no longer fits (greedy does unless told otherwise)')
      .option('--no-skip', 'greedy, phragmen: stop at the first project that does not fit')
      .option('--as-approval', 'read points and ranks as plain support, each worth the same')
      .option('--seed <text>', 'seed of the lot for ties that nothing else decides', '0')
      .option('--certificate <file>', 'write the certificate to this file')
      .option('--report <file>', 'write the result as one page of HTML that opens from disk')
      .action((file: string, options: TallyOptions) => countFile(io, file, options)),
    'tally Poland_Lodz_2022.pb --rule equal-shares --completion add1',
    'tally vote.pb --rule greedy --threshold 100 --no-skip --json',
    'tally vote.pb --completion add1u --seed "drawn on 1 May" --certificate certificate.json --report result.html',
  );
}

async function countFile(io: CliIo, file: string, options: TallyOptions): Promise<void> {
  const rule = chooseRule(options);
  const election = await readElectionFile(resolve(io.cwd, file));
  for (const warning of election.warnings) io.note(`${file}: ${warning}`);
  noteThreshold(io, election, options);
  const input = pabulibTallyInput(election, rule, options.seed, { asApproval: options.asApproval ?? false });
  const counted = tally(input);
  if (!counted.ok) throw new UsageError(counted.error.detail);
  const result = counted.value;
  if (options.certificate !== undefined) {
    await writeFile(resolve(io.cwd, options.certificate), `${JSON.stringify(result.certificate)}\n`);
  }
  if (options.report !== undefined) {
    await writeFile(resolve(io.cwd, options.report), renderTallyReport(result, counterfactuals(input)));
  }
  // Compact, as a certificate of a whole city has a hundred thousand entries.
  if (io.shared.json) io.write(`${JSON.stringify(tallyJson(result))}\n`);
  else io.write(`${describeTally(result)}\n`);
}

/** The result as programs read it; amounts are numbers where a double holds them exactly, as all of cities are. */
function tallyJson({ winners, cost, rounds, ties, certificate }: TallyResult) {
  const { rule, budgets, units } = certificate;
  return {
    winners,
    cost: numberOf(cost[0] ?? '0'),
    budget: Number(budgets[0]?.amount ?? 0) / Number(units.money[0] ?? 1),
    rule: rule.name,
    rounds,
    ties,
    certificate,
  };
}

function numberOf(exact: string): number {
  const [n, d] = exact.split('/');
  return Number(n) / Number(d ?? 1);
}

function noteThreshold(io: CliIo, election: PabulibElection, options: TallyOptions): void {
  const named = election.meta.get('min_project_score_threshold') ?? '0';
  if (options.threshold !== undefined || Number(named) === 0) return;
  io.note(`The file names a threshold of ${named} that is not applied; --threshold ${named} does`);
}
