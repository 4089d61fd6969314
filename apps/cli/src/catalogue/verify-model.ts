import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { listRevisions, readModelProof, showModel } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';
import { describeFile } from './upload-file.js';
import { type ChainReport, type PublishedRevision, verifyChain } from './verify-chain.js';

/** The chain of a long run is long; its download may take so long. */
const downloadTimeoutMs = 600_000;

interface VerifiedModel extends ChainReport {
  readonly model: string;
}

/** Checks the hash chain of a model of the catalogue against its revisions as they are published. */
export async function verifyPublished(io: CliIo, ref: string): Promise<VerifiedModel> {
  const client = io.client();
  const model = await client.call(showModel, { params: { model: ref } });
  const { items } = await client.call(listRevisions, { params: { model: ref } });
  const response = await client.raw(
    readModelProof,
    { params: { model: ref } },
    { timeoutMs: downloadTimeoutMs },
  );
  const body = Readable.fromWeb((response.body ?? new ReadableStream()) as never);
  const lines = createInterface({ input: body, crlfDelay: Number.POSITIVE_INFINITY });
  const report = await verifyChain(lines, items);
  const { chainSha256 } = model.provenance;
  return { model: model.name, ...againstHead(report, chainSha256) };
}

/** Checks the hash chain of a folder that `suite train --local` or the runner left, hashing the weights that lie there. */
export async function verifyFolder(io: CliIo, folder: string): Promise<VerifiedModel> {
  const chain = join(folder, 'proof', 'chain.jsonl');
  const checkpoints = join(folder, 'checkpoints');
  if (!existsSync(chain) || !existsSync(checkpoints)) {
    throw new UsageError(
      `${folder} has no proof/chain.jsonl and checkpoints: it is not what a finished run leaves`,
    );
  }
  const revisions: PublishedRevision[] = [];
  const names = readdirSync(checkpoints).filter((name) => /^step\d{1,9}$/.test(name));
  const bar = io.progress(`Hashing ${folder}`, names.length);
  for (const [index, name] of names.entries()) {
    const weights = join(checkpoints, name, 'model.safetensors');
    const has = statSync(weights, { throwIfNoEntry: false }) !== undefined;
    const weightsSha256 = has ? (await describeFile(weights)).sha256 : null;
    revisions.push({ step: Number(name.slice('step'.length)), weightsSha256, chainSha256: undefined });
    bar.at(index + 1, name);
  }
  bar.done();
  const lines = createInterface({ input: createReadStream(chain), crlfDelay: Number.POSITIVE_INFINITY });
  const report = await verifyChain(lines, revisions);
  return { model: folder, ...againstHead(report, saidHead(folder)) };
}

function againstHead(report: ChainReport, said: string | null): ChainReport {
  if (report.fault !== null || said === null || said === report.head) return report;
  return { ...report, fault: `the chain gives the head ${report.head}, and ${said} was published` };
}

/** What the end of a local run said, where it was kept. */
function saidHead(folder: string): string | null {
  const path = join(folder, 'result.json');
  if (!existsSync(path)) return null;
  const { chainSha256 } = JSON.parse(readFileSync(path, 'utf8')) as { chainSha256?: unknown };
  return typeof chainSha256 === 'string' ? chainSha256 : null;
}
