import type { Command } from 'commander';
import { UsageError } from '../core/usage-error.js';

/** `--gpu-share 25`, told to the action in thousandths: 250. */
export function gpuShareOption(command: Command): Command {
  return command.option(
    '--gpu-share <percent>',
    'a part of a GPU, 10 to 100, where a cluster shares its GPUs; the whole by default',
    milliOf,
  );
}

function milliOf(text: string): number {
  const percent = /^\d{2,3}$/.test(text) ? Number(text) : Number.NaN;
  if (percent >= 10 && percent <= 100) return percent * 10;
  throw new UsageError(`--gpu-share is a whole number of percent from 10 to 100, not ${text}`);
}
