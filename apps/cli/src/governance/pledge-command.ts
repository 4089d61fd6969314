import { pledge } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { findLabId, findRoundId, gpuSecondsOf, hoursText } from './find-things.js';

/** Pledges of a lab's delegate. */
export function registerPledgeCommand(program: Command, io: CliIo): void {
  examples(
    program
      .command('pledge')
      .description('pledge GPU time of your lab to a round; replaces what it had pledged (delegate)')
      .argument('<round>', 'id of the round, or `latest`')
      .argument('<amount>', 'GPU time: 40h, 90m or 3600s; 0s takes the pledge back')
      .option('--lab <lab>', 'short name or id; needed only if you are delegate of several')
      .option('--gpu-type <type>', 'kind of GPU, where the round tells them apart')
      .action(async (ref: string, amount: string, wish: { lab?: string; gpuType?: string }) => {
        const client = io.client();
        const gpuSeconds = gpuSecondsOf(amount);
        const roundId = await findRoundId(client, ref);
        const labId = await findLabId(client, wish.lab, ['delegate']);
        const body = { labId, gpuSeconds, ...(wish.gpuType === undefined ? {} : { gpuType: wish.gpuType }) };
        const made = await client.call(pledge, { params: { roundId }, body });
        io.show(
          made,
          () => `${made.labId} pledges ${hoursText(made.gpuSeconds)} of GPU type ${made.gpuType}`,
        );
      }),
    'pledge latest 400h',
    'pledge latest 120h --lab lab-b --gpu-type h100',
  );
}
