import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { evaluateModel, serveModel, showModel, submitJob } from '@beamtime/contracts';
import type { Command } from 'commander';
import { parse } from 'yaml';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { UsageError } from '../core/usage-error.js';
import { findLabId } from '../governance/find-things.js';
import { describeJob } from './describe-job.js';
import { type EvaluationOptions, evaluationOf, evaluationOptions } from './evaluation-options.js';
import { gpuShareOption } from './gpu-share-option.js';

export function registerSubmitCommands(job: Command, io: CliIo): void {
  examples(
    job
      .command('submit')
      .description("submit a job of your lab from a file: the runner's job with resources and inputs")
      .argument('<file>', 'YAML or JSON with runner, resources, and optionally inputs, name, priority')
      .option('--lab <lab>', 'the lab, by short name or id; your own where there is only one')
      .option('--after <jobs...>', 'jobs that must have succeeded before it starts')
      .option('--deadline <time>', 'cancel it if it has not ended by then, as 2026-12-01T08:00:00Z')
      .option('--key <text>', 'the same key again finds the same job instead of a second one')
      .action(async (file: string, { lab, key, after, deadline }: SubmitOptions) => {
        const labId = await findLabId(io.client(), lab);
        const given = readFile(io, file);
        const body = {
          ...given,
          labId,
          ...(key === undefined ? {} : { requestKey: key }),
          ...(after === undefined ? {} : { after }),
          ...(deadline === undefined ? {} : { deadline }),
        };
        // The facility checks the file and names the field that is wrong.
        const made = await io.client().call(submitJob, { body: body as never });
        io.show(made, () => describeJob({ ...made, history: [] }));
      }),
    'job submit job.yaml --lab lab-a',
    'job submit evaluate.yaml --after job_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );

  examples(
    evaluationOptions(
      job
        .command('evaluate')
        .description('submit a job that evaluates a model: bits per byte, minimal pairs, head scores')
        .argument('<model>', 'name or id of the model'),
    )
      .option('--revisions <names...>', 'all by default')
      .option('--when-trained', 'wait for the training of the model, should that not have ended')
      .action(async (model: string, options: EvaluateOptions) => {
        const modelId = await findModelId(io, model);
        const made = await io.client().call(evaluateModel, {
          params: { modelId },
          body: {
            ...evaluationOf(options),
            ...(options.whenTrained === true ? { whenTrained: true } : {}),
            ...(options.revisions === undefined ? {} : { revisions: options.revisions }),
          },
        });
        io.show(made, () => made.jobs.map((one) => one.jobId).join('\n'));
      }),
    'job evaluate grid-m-deu-s1 --held-out cor_01ky0w3h5cqfzv8r4n2t6m9b7d:deu:Latn',
    'job evaluate grid-m-deu-s2 --when-trained',
  );

  examples(
    gpuShareOption(
      job
        .command('serve')
        .description('have a model served for outputs and internals; one that is served keeps its job')
        .argument('<model>', 'name or id of the model')
        .option('--revisions <names...>', 'all by default')
        .option('--max-seconds <seconds>', 'for so long at most', '3600'),
    ).action(
      async (model: string, options: { revisions?: string[]; maxSeconds: string; gpuShare?: number }) => {
        const modelId = await findModelId(io, model);
        const made = await io.client().call(serveModel, {
          params: { modelId },
          body: {
            maxSeconds: Number(options.maxSeconds),
            ...(options.gpuShare === undefined ? {} : { gpuShareMilli: options.gpuShare }),
            ...(options.revisions === undefined ? {} : { revisions: options.revisions }),
          },
        });
        io.show(made, () =>
          made.jobs.map((one) => `${one.jobId}${one.created ? '' : ' (was there before)'}`).join('\n'),
        );
      },
    ),
    'job serve grid-m-deu-s1 --max-seconds 600',
    'job serve grid-m-deu-s1 --gpu-share 25',
  );
}

interface SubmitOptions {
  readonly lab?: string;
  readonly key?: string;
  readonly after?: string[];
  readonly deadline?: string;
}

interface EvaluateOptions extends EvaluationOptions {
  readonly revisions?: string[];
  readonly whenTrained?: true;
}

async function findModelId(io: CliIo, model: string): Promise<string> {
  if (model.startsWith('mdl_')) return model;
  return (await io.client().call(showModel, { params: { model } })).modelId;
}

function readFile(io: CliIo, file: string): Record<string, unknown> {
  const path = resolve(io.cwd, file);
  let value: unknown;
  try {
    value = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`${path} holds no job: write runner, resources and inputs`);
  return value as Record<string, unknown>;
}
