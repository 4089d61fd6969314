import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { clusterPolicySchema, jobKindsByDefault } from '@beamtime/contracts';
import { parse } from 'yaml';
import { z } from 'zod';
import { containerSettings } from './command/settings.js';

const path = z.string().min(1).max(4_000);

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
        count: z.number().int().min(0).max(1_000_000).describe('GPUs, or slots on a machine without'),
        type: z.string().min(1).max(60).default('cpu'),
        memoryMiB: z.number().int().min(0).nullable().default(null),
        devices: z
          .array(z.union([z.string(), z.number()]))
          .optional()
          .describe('Names for CUDA_VISIBLE_DEVICES, one per GPU'),
      })
      .describe('What this cluster offers'),
    executor: z.enum(['local']).default('local'),
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
  'key' | 'keyFile' | 'keyEnv' | 'policy'
> & {
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
  const kinds = policy.kinds ?? [...jobKindsByDefault];
  if (kinds.includes('command') && config.containers === undefined) {
    throw new AgentConfigError(
      `${file}: policy.kinds has command, but nothing says how commands are run: add containers: { engine, images }`,
    );
  }
  return {
    ...config,
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
    },
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
