import { createHash } from 'node:crypto';
import { z } from 'zod';

/** A revision as it is published: its weights, and, where it is said, the head of the chain after its checkpoint. */
export interface PublishedRevision {
  readonly step: number;
  readonly weightsSha256: string | null;
  readonly chainSha256: string | null | undefined;
}

export interface ChainReport {
  readonly head: string;
  /** Lines of steps, and lines of checkpoints. */
  readonly steps: number;
  readonly checkpoints: number;
  /** Published revisions that the chain proves. */
  readonly proven: number;
  /** The first thing that does not fit, or null. */
  readonly fault: string | null;
}

const genesis = sha256('beamtime.step-chain/1');
/** Finite numbers as Python's float.hex() writes them, with every bit. */
const hexFloat = z.string().regex(/^-?0x[01]\.[0-9a-f]+p[+-]\d+$/);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const step = z.number().int().min(0);
const record = z.union([
  z.looseObject({ step, batch: digest, loss: hexFloat, gradientNorm: hexFloat }),
  z.looseObject({ step, weights: digest }),
]);

/**
 * Recomputes a hash chain of steps from its lines and holds it against what was published: each line is a step in order
 * or a checkpoint after it; the head after a checkpoint is the revision's, and its weights are the revision's.
 */
export async function verifyChain(
  lines: AsyncIterable<string> | Iterable<string>,
  revisions: readonly PublishedRevision[],
): Promise<ChainReport> {
  const published = new Map(revisions.map((revision) => [revision.step, revision]));
  const report = { head: genesis, steps: 0, checkpoints: 0, proven: 0 };
  const failed = (fault: string): ChainReport => ({ ...report, fault });
  let number = 0;
  let checkpointed = -1;
  for await (const line of lines) {
    number += 1;
    const parsed = record.safeParse(parse(line));
    if (!parsed.success) return failed(`line ${number} is neither a step nor a checkpoint`);
    report.head = sha256(`${report.head}\n${line}`);
    const entry = parsed.data;
    if (!('weights' in entry)) {
      report.steps += 1;
      if (entry.step !== report.steps)
        return failed(`line ${number}: step ${entry.step} follows ${report.steps - 1}`);
      continue;
    }
    report.checkpoints += 1;
    if (entry.step !== report.steps || entry.step === checkpointed) {
      return failed(`line ${number}: a checkpoint of step ${entry.step} after step ${report.steps}`);
    }
    checkpointed = entry.step;
    const revision = published.get(entry.step);
    if (revision === undefined) continue;
    if (revision.weightsSha256 !== entry.weights) {
      return failed(`step${entry.step}: the published weights are not those of the chain`);
    }
    if (revision.chainSha256 !== undefined && revision.chainSha256 !== report.head) {
      return failed(`step${entry.step}: the published head is not that of the chain`);
    }
    report.proven += 1;
    published.delete(entry.step);
  }
  const [unproven] = published.keys();
  return unproven === undefined
    ? { ...report, fault: null }
    : failed(`step${unproven} is published, and the chain has no checkpoint of it`);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
