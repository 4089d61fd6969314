import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { UsageError } from '../core/usage-error.js';
import { oneOf } from './find-data.js';
import { federationPolicies, replayFedPhilly } from './replay-fed-philly.js';
import { muriPolicies, replayMuri } from './replay-muri.js';
import { openbPolicies, replayOpenb } from './replay-openb.js';
import type { SimulateOptions } from './simulate-options.js';

type Replay = (io: CliIo, options: SimulateOptions, seed: number) => Promise<void>;

const scenarios: Readonly<Record<string, Replay>> = {
  muri: replayMuri,
  openb: replayOpenb,
  'fed-philly': replayFedPhilly,
};

const seedMax = 2 ** 32 - 1;

export function registerSimulateCommand(program: Command, io: CliIo): void {
  examples(
    program
      .command('simulate')
      .description(
        'replay a published workload through the scheduler of Beamtime under a simulated clock, without a server',
      )
      .requiredOption('--scenario <name>', `the workload: ${Object.keys(scenarios).join(', ')}`)
      .requiredOption(
        '--policy <name>',
        `what decides. muri: ${muriPolicies.join(', ')}; openb: ${openbPolicies.join(', ')}; fed-philly: ${federationPolicies.join(', ')}`,
      )
      .option(
        '--trace <file>',
        'the jobs: a path below BEAMTIME_DATA/traces or any other. openb: the default pods; fed-philly: philly/jobs.csv',
      )
      .option('--nodes <file>', 'openb: the nodes (openb_node_list_gpu_node.csv beside the pods)')
      .option('--cluster <file>', 'muri: switches, nodes and GPUs (n8g8.csv beside the trace)')
      .option('--overheads <file>', 'muri: restart overheads (published.json beside the trace)')
      .option('--load <number>', 'fed-philly: mean demand over capacity (0.85)')
      .option('--copies <number>', 'fed-philly: relabelled copies side by side (1)')
      .option('--outages', 'fed-philly: each cluster is out for a tenth of each week')
      .option('--inflate <lab>', 'fed-philly: this lab asks for twice the GPUs that it needs')
      .option('--seed <number>', 'all that is drawn by lot follows from it', '42')
      .action(async (options: SimulateOptions) => {
        const scenario = oneOf('--scenario', Object.keys(scenarios), options.scenario);
        await scenarios[scenario]?.(io, options, readSeed(options.seed));
      }),
    'simulate --scenario muri --trace muri/trace1.csv --policy srsf',
    'simulate --scenario openb --policy beamtime --seed 7 --json',
    'simulate --scenario fed-philly --load 0.85 --policy beamtime --outages',
    'simulate --scenario muri --trace ~/mine.csv --cluster ~/n4g8.csv --policy srtf --json',
  );
}

function readSeed(text: string): number {
  const seed = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(seed <= seedMax))
    throw new UsageError(`--seed must be a whole number from 0 to ${seedMax}, not ${text}`);
  return seed;
}
