import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { clusterPolicySchema, jobKindsByDefault } from '@beamtime/contracts';
import { sbatchOptionFault } from '@beamtime/executors';
import { parse } from 'yaml';
import { z } from 'zod';
import { containerSettings } from './command/settings.js';

const path = z.string().min(1).max(4_000);

const slurmName = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.,+-]{0,99}$/, 'a name as Slurm has them')
  .optional();

/** How jobs go to Slurm. Durations are the site's to choose; the defaults suit a busy one. */
const slurmSchema = z
  .strictObject({
    partition: slurmName.describe('By default the default partition'),
    account: slurmName,
    qos: slurmName,
    conf: path.optional().describe('slurm.conf, where Slurm does not find it by itself (SLURM_CONF)'),
    bin: path.optional().describe("Folder of Slurm's commands, where PATH does not hold them"),
    gpuType: slurmName.describe('As in --gres=gpu:TYPE:N; by default any'),
    cpusPerGpu: z
      .number()
      .int()
      .min(1)
      .max(1_024)
      .optional()
      .describe('CPUs for a GPU, or of a slot; by default 1'),
    memoryMiBPerGpu: z.number().int().min(1).max(100_000_000).optional(),
    options: z
      .array(
        z.string().superRefine((option, context) => {
          const fault = sbatchOptionFault(option);
          if (fault !== null) context.addIssue({ code: 'custom', message: fault });
        }),
      )
      .max(40)
      .optional()
      .describe('More options for sbatch, as --constraint=a100'),
    setup: z
      .array(z.string().min(1).max(4_000))
      .max(50)
      .optional()
      .describe('Shell lines before each program, as module load cuda'),
    pollSeconds: z
      .number()
      .min(0.1)
      .max(300)
      .optional()
      .describe('How often squeue is asked, for all jobs together; by default 5'),
    commandTimeoutSeconds: z.number().min(1).max(600).optional().describe('By default 30'),
    arrayTasksMax: z
      .number()
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe('Jobs submitted as one array; by default 200'),
    pendingSecondsMax: z
      .number()
      .int()
      .min(10)
      .max(2_592_000)
      .optional()
      .describe("A job that waits longer in Slurm's queue goes back; by default 14400"),
    orphanSeconds: z
      .number()
      .int()
      .min(0)
      .max(604_800)
      .optional()
      .describe('Jobs end when the agent has been gone for so long; by default 900, 0 for never'),
  })
  .describe('Slurm, by its commands');
export type SlurmConfig = z.output<typeof slurmSchema>;

/** The agent's one file. Relative paths are relative to the file. */
export const agentConfigSchema = z
  .strictObject({
    facility: z.url().describe('Address of the facility'),
    key: z.string().min(8).optional().describe('Key of this cluster; better in keyFile or keyEnv'),
    keyFile: path.optional().describe('File that holds the key and nothing else'),
    keyEnv: z.string().min(1).max(200).optional().describe('Environment variable that holds the key'),
    stateDir: path.default('agent-state').describe('Folder for running attempts and fetched inputs'),
    gpus: z
      .strictObject({
        count: z
          .number()
          .int()
          .min(0)
          .max(1_000_000)
          .nullable()
          .default(null)
          .describe(
            'GPUs, or slots on a machine without; with Slurm by default what Slurm has, and at most that',
          ),
        type: z
          .string()
          .min(1)
          .max(60)
          .nullable()
          .default(null)
          .describe('By default cpu, or what Slurm says'),
        memoryMiB: z.number().int().min(0).nullable().default(null),
        devices: z
          .array(z.union([z.string(), z.number()]))
          .optional()
          .describe('Names for CUDA_VISIBLE_DEVICES, one per GPU; not with Slurm'),
      })
      .default({ count: null, type: null, memoryMiB: null })
      .describe('What this cluster offers'),
    executor: z.union([z.enum(['local', 'slurm']), z.strictObject({ slurm: slurmSchema })]).default('local'),
    runner: z
      .strictObject({
        command: z.array(z.string().min(1)).min(1).describe('Command line of the runner'),
        passEnv: z.array(z.string()).default([]).describe('Variables that programs inherit'),
      })
      .default({ command: ['python3', '-m', 'beamtime_runner'], passEnv: [] }),
    policy: clusterPolicySchema
      .partial()
      .default({})
      .describe('What this cluster takes; the facility cannot overrule it'),
    containers: containerSettings.optional(),
    gateways: z
      .array(z.url())
      .optional()
      .describe('Gateways for served models; by default what the facility says'),
    cacheBytesMax: z
      .number()
      .int()
      .min(0)
      .default(20 * 1024 ** 3)
      .describe('Fetched inputs that are kept for later jobs'),
  })
  .describe('Configuration of a Beamtime agent');

export type AgentConfig = Omit<
  z.output<typeof agentConfigSchema>,
  'key' | 'keyFile' | 'keyEnv' | 'policy' | 'executor'
> & {
  readonly executor: 'local' | { readonly slurm: SlurmConfig };
  readonly key: string;
  /** This file and the key's, which nothing that runs here needs to see. */
  readonly ownFiles: readonly string[];
  readonly policy: z.output<typeof clusterPolicySchema>;
};

/** A configuration that cannot be used; its message is for the operator. */
export class AgentConfigError extends Error {
  override readonly name = 'AgentConfigError';
}

/** Reads the agent's file; throws AgentConfigError with one line for each fault. */
export function loadAgentConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): AgentConfig {
  const folder = dirname(resolve(file));
  const parsed = agentConfigSchema.safeParse(readYaml(file));
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.') || 'file'}: ${issue.message}`);
    throw new AgentConfigError(`${file} is not a valid agent configuration:\n${lines.join('\n')}`);
  }
  const { key: _key, keyFile: _keyFile, keyEnv: _keyEnv, policy, ...config } = parsed.data;
  const [command = '', ...args] = config.runner.command;
  const { executor, gpus } = config;
  const slurm = executor === 'local' ? undefined : executor === 'slurm' ? {} : executor.slurm;
  if (slurm === undefined && gpus.count === null)
    throw new AgentConfigError(
      `${file} is not a valid agent configuration:\n  gpus.count: how many GPUs, or slots, this machine offers`,
    );
  if (slurm !== undefined && gpus.devices !== undefined)
    throw new AgentConfigError(
      `${file} is not a valid agent configuration:\n  gpus.devices: Slurm gives out GPUs itself`,
    );
  if (slurm !== undefined && (policy.gpuParts ?? 1) > 1)
    throw new AgentConfigError(
      `${file} is not a valid agent configuration:\n  policy.gpuParts: Slurm gives out whole GPUs; only an agent that runs programs itself (executor: local) can share them`,
    );
  const kinds = policy.kinds ?? [...jobKindsByDefault];
  if (kinds.includes('command') && config.containers === undefined) {
    throw new AgentConfigError(
      `${file}: policy.kinds has command, but nothing says how commands are run: add containers: { engine, images }`,
    );
  }
  return {
    ...config,
    executor: slurm === undefined ? 'local' : { slurm: inFolder(slurm, folder) },
    key: keyOf(parsed.data, folder, env),
    ownFiles: [resolve(file), ...(_keyFile === undefined ? [] : [resolve(folder, _keyFile)])],
    stateDir: resolve(folder, config.stateDir),
    runner: {
      ...config.runner,
      // A bare name is looked up in PATH, anything with a slash is a file beside the configuration.
      command: [command.includes('/') ? resolve(folder, command) : command, ...args],
    },
    policy: {
      kinds,
      labIds: policy.labIds ?? null,
      consortium: policy.consortium ?? true,
      gpusPerJobMax: policy.gpusPerJobMax ?? null,
      secondsPerJobMax: policy.secondsPerJobMax ?? null,
      hoursUtc: policy.hoursUtc ?? null,
      ...(policy.gpuParts === undefined ? {} : { gpuParts: policy.gpuParts }),
    },
  };
}

function inFolder(slurm: SlurmConfig, folder: string): SlurmConfig {
  const { conf, bin } = slurm;
  return {
    ...slurm,
    ...(conf === undefined ? {} : { conf: resolve(folder, conf) }),
    ...(bin === undefined ? {} : { bin: resolve(folder, bin) }),
  };
}

function readYaml(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new AgentConfigError(`${file} cannot be read: ${(error as Error).message}`);
  }
  try {
    return parse(text);
  } catch (error) {
    throw new AgentConfigError(`${file} is not YAML: ${(error as Error).message}`);
  }
}

function keyOf(
  given: z.output<typeof agentConfigSchema>,
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const sources = [given.key, given.keyFile, given.keyEnv].filter((source) => source !== undefined);
  if (sources.length !== 1)
    throw new AgentConfigError('Give the key in exactly one of key, keyFile and keyEnv');
  if (given.key !== undefined) return given.key;
  if (given.keyEnv !== undefined) {
    const key = env[given.keyEnv];
    if (key === undefined || key === '') throw new AgentConfigError(`keyEnv: ${given.keyEnv} is not set`);
    return key;
  }
  try {
    return readFileSync(resolve(folder, given.keyFile ?? ''), 'utf8').trim();
  } catch (error) {
    throw new AgentConfigError(`keyFile cannot be read: ${(error as Error).message}`);
  }
}
