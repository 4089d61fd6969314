import type { BodyOf, evaluateModel } from '@beamtime/contracts';
import type { Command } from 'commander';
import { UsageError } from '../core/usage-error.js';
import { gpuShareOption } from './gpu-share-option.js';

/** What `job evaluate` and `suite evaluate` ask alike. */
export interface EvaluationOptions {
  readonly heldOut: string[];
  readonly minimalPairs: string[];
  readonly headScores: boolean;
  readonly maxSeconds: string;
  /** In thousandths. */
  readonly gpuShare?: number;
}

export function evaluationOptions(command: Command): Command {
  return gpuShareOption(command)
    .option(
      '--held-out <corpus:language:script...>',
      'registered corpora that were held out of training, as cor_…:deu:Latn',
      [],
    )
    .option(
      '--minimal-pairs <corpus:language:script...>',
      'registered corpora of format pairs, as cor_…:eng:Latn',
      [],
    )
    .option('--no-head-scores', 'leave out the scores of attention heads')
    .option('--max-seconds <seconds>', 'time bound of each job', '3600');
}

export function evaluationOf(
  options: EvaluationOptions,
): Pick<
  BodyOf<typeof evaluateModel>,
  'heldOut' | 'minimalPairs' | 'headScores' | 'maxSeconds' | 'gpuShareMilli'
> {
  return {
    heldOut: options.heldOut.map((text) => materialOf('--held-out', text)),
    minimalPairs: options.minimalPairs.map((text) => materialOf('--minimal-pairs', text)),
    headScores: options.headScores,
    maxSeconds: Number(options.maxSeconds),
    ...(options.gpuShare === undefined ? {} : { gpuShareMilli: options.gpuShare }),
  };
}

function materialOf(option: string, text: string): { corpusId: string; language: string; script: string } {
  const [corpusId, language, script] = text.split(':');
  if (corpusId === undefined || language === undefined || script === undefined)
    throw new UsageError(`${option} ${text}: write it as CORPUS:LANGUAGE:SCRIPT, such as cor_01k…:deu:Latn`);
  return { corpusId, language, script };
}
