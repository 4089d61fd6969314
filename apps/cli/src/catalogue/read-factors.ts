import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ModelFactors, modelFactorsSchema } from '@beamtime/contracts';
import { parse } from 'yaml';
import { UsageError } from '../core/usage-error.js';
import type { LocalFile } from './upload-file.js';

/** The factors that a file says, and no others: what is left out stays unknown. */
export function readFactorsFile(path: string, cwd: string): Partial<ModelFactors> {
  let value: unknown;
  try {
    value = parse(readFileSync(resolve(cwd, path), 'utf8'));
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
  const given = Object.keys((value ?? {}) as object);
  const parsed = modelFactorsSchema.strict().safeParse(value ?? {});
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UsageError(`${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
  }
  return Object.fromEntries(Object.entries(parsed.data).filter(([name]) => given.includes(name)));
}

const families: Readonly<Record<string, string>> = { gpt_neox: 'gpt-neox' };

/**
 * What the files of a revision say by themselves: config.json of the architecture, the hash of tokenizer.json. How it
 * was trained, and on what, they do not say.
 */
export function factorsOfFiles(
  files: readonly (LocalFile & { readonly name: string })[],
): Partial<ModelFactors> {
  const named = (name: string): string | undefined => files.find((file) => file.name === name)?.path;
  const path = named('config.json');
  const config = (path === undefined ? {} : readConfig(path)) as Record<string, unknown>;
  const number = (...names: readonly string[]): number | null => {
    const found = names.map((name) => config[name]).find((value) => typeof value === 'number');
    return typeof found === 'number' ? found : null;
  };
  const type = typeof config['model_type'] === 'string' ? config['model_type'] : null;
  const hiddenSize = number('hidden_size', 'n_embd');
  const ties = config['tie_word_embeddings'];
  return {
    family: type === null ? null : (families[type] ?? type),
    layers: number('num_hidden_layers', 'n_layer'),
    hiddenSize,
    heads: type === 'mamba' ? 0 : number('num_attention_heads', 'n_head'),
    // GPT-2 leaves it out where it is the usual one.
    intermediateSize:
      number('intermediate_size', 'n_inner') ??
      (type === 'gpt2' && hiddenSize !== null ? 4 * hiddenSize : null),
    contextTokens: number('max_position_embeddings', 'n_positions'),
    vocabSize: number('vocab_size'),
    objective: objectiveOf(config['architectures']),
    tieEmbeddings: typeof ties === 'boolean' ? ties : null,
    tokenizerSha256: files.find((file) => file.name === 'tokenizer.json')?.sha256 ?? null,
  };
}

function readConfig(path: string): unknown {
  try {
    const config: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof config === 'object' && config !== null ? config : {};
  } catch {
    throw new UsageError(`${path} is not JSON`);
  }
}

/** By the head that the weights were saved with; a bare body has none. */
function objectiveOf(architectures: unknown): string | null {
  const [first] = Array.isArray(architectures) ? (architectures as unknown[]) : [];
  if (typeof first !== 'string') return null;
  if (/ForCausalLM$|LMHeadModel$/.test(first)) return 'causal';
  return /ForMaskedLM$|ForPreTraining$/.test(first) ? 'masked' : null;
}
