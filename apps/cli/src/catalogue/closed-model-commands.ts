import { listClosedModel, withdrawClosedModel } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { readFactorsFile } from './read-factors.js';

/** Models for behaviour only: an upstream answers for them. */
export function registerClosedModels(model: Command, io: CliIo): void {
  examples(
    model
      .command('list-closed')
      .description(
        'list a closed model for behaviour only, behind an upstream that the operator has configured',
      )
      .argument('<name>', 'its name here')
      .requiredOption('--provider <provider>', 'the lab or company that offers it')
      .requiredOption('--upstream <upstream>', 'who is asked: a name in BEAMTIME_UPSTREAMS')
      .requiredOption('--upstream-model <model>', 'its name there, a dated one if there is one')
      .option('--factors <file>', 'YAML or JSON with the factors that are known; the others stay unknown')
      .addHelpText(
        'after',
        '\nIt answers completions, log-probabilities and surprisal under allocations, as its upstream does. It has no\nweights and no internals here: the hub, captures, evaluations and jobs refuse it.',
      )
      .action(async (name: string, options: ListClosedOptions) => {
        const { factors, ...rest } = options;
        const listed = await io.client().call(listClosedModel, {
          body: { name, ...rest, factors: factors === undefined ? {} : readFactorsFile(factors, io.cwd) },
        });
        io.show(listed, () => `Listed ${listed.name} for behaviour only: ${listed.modelId}`);
      }),
    'model list-closed big-model --provider "Big Lab" --upstream big-lab --upstream-model big-model-2026-05-01',
  );

  examples(
    model
      .command('withdraw')
      .description('say that a closed model is not offered any more; it stays in the catalogue')
      .argument('<model>', 'its name or id')
      .requiredOption('--reason <text>', 'shown with the model and to whoever asks it')
      .action(async (name: string, { reason }: { reason: string }) => {
        const gone = await io
          .client()
          .call(withdrawClosedModel, { params: { model: name }, body: { reason } });
        io.show(gone, () => `Withdrawn: ${gone.name} (${gone.modelId})`);
      }),
    'model withdraw big-model --reason "Big Lab ended it on 2026-11-01"',
  );
}

interface ListClosedOptions {
  readonly provider: string;
  readonly upstream: string;
  readonly upstreamModel: string;
  readonly factors?: string;
}
