import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createCapture, estimateCapture } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { keyClient, keyHint, keyOption } from './key-client.js';

const answerTimeoutMs = 240_000;
const downloadTimeoutMs = 600_000;

const collect = (value: string, before: string[]): string[] => [...before, value];

/** `capture`: activations and attention of one text as a safetensors file. */
export function registerCaptureCommand(program: Command, io: CliIo): void {
  examples(
    program
      .command('capture')
      .description('read activations and attention of one text into a safetensors file')
      .argument('<model>', 'name, or name@revision')
      .argument('<text>', 'the text to run')
      .option(
        '--site <site>',
        "TransformerLens's name of a place, * for any part; may be repeated",
        collect,
        [],
      )
      .option('--out <file>', 'where to write', 'capture.safetensors')
      .option('--estimate', 'only say what it would read and cost; runs nothing')
      .option(...keyOption)
      .addHelpText('after', `\n${keyHint}\nSites: blocks.*.hook_resid_post, blocks.0.attn.hook_pattern, …`)
      .action(
        async (
          model: string,
          text: string,
          options: { site: string[]; out: string; estimate?: boolean; key?: string },
        ) => {
          if (options.site.length === 0) throw new UsageError('name at least one --site');
          const client = keyClient(io, options.key);
          const body = { model, input: { text }, sites: options.site };
          if (options.estimate === true) {
            const estimate = await client.call(estimateCapture, { body }, { timeoutMs: answerTimeoutMs });
            io.show(estimate, () =>
              tensorTable(estimate.tensors, `${estimate.activationBytes} bytes in all`),
            );
            return;
          }
          const capture = await client.call(createCapture, { body }, { timeoutMs: answerTimeoutMs });
          const response = await fetch(capture.url, { signal: AbortSignal.timeout(downloadTimeoutMs) });
          if (!response.ok) throw new CheckFailed(`the capture cannot be fetched: HTTP ${response.status}`);
          const file = Buffer.from(await response.arrayBuffer());
          if (createHash('sha256').update(file).digest('hex') !== capture.sha256) {
            throw new CheckFailed('the capture arrived damaged: its SHA-256 is another one');
          }
          await writeFile(options.out, file);
          io.show(capture, () =>
            tensorTable(
              capture.tensors,
              `${file.byteLength} bytes written to ${options.out}; ${capture.usage.posted} charged`,
            ),
          );
        },
      ),
    'capture udhr-neox-160k-deu-s1 "Alle Menschen" --site "blocks.*.hook_resid_post" --out a.safetensors',
  );
}

function tensorTable(
  tensors: readonly { site: string; dtype: string; shape: readonly number[]; bytes: number }[],
  last: string,
): string {
  const rows = tensors.map((one) => [one.site, one.dtype, one.shape.join(' × '), String(one.bytes)]);
  return `${formatTable(['site', 'type', 'shape', 'bytes'], rows, 'No site matches')}\n${last}`;
}
