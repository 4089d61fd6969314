import { createHash } from 'node:crypto';
import type { auditEntrySchema } from '@beamtime/contracts';
import canonicalize from 'canonicalize';
import type { z } from 'zod';

export type AuditEntry = z.output<typeof auditEntrySchema>;

/** Hash before the first entry. */
const genesis = '0'.repeat(64);

export interface ChainHead {
  readonly entries: number;
  /** Pins the whole log: who knows this hash notices any later change to what came before. */
  readonly hash: string;
}

export type ChainVerdict =
  | { readonly intact: true; readonly head: ChainHead }
  | { readonly intact: false; readonly brokenAtSeq: number; readonly why: string };

/**
 * Checks the audit log entry by entry, from its documented form alone (see `GET /audit`) and without the facility's
 * own code: an auditor need not trust the program that wrote the log.
 */
export class AuditChainCheck {
  private hash = genesis;
  private count = 0;

  /** Undefined while all is well, otherwise what is wrong with this entry. */
  take(entry: AuditEntry): Extract<ChainVerdict, { intact: false }> | undefined {
    const expectedSeq = this.count + 1;
    if (entry.seq !== expectedSeq)
      return { intact: false, brokenAtSeq: entry.seq, why: `number ${expectedSeq} should come here` };
    const { seq, at, actor, action, subject, details } = entry;
    const body = canonicalize({ seq, at, actor, action, subject, details });
    const hash = createHash('sha256').update(`${this.hash}\n${body}`).digest('hex');
    if (hash !== entry.hash)
      return { intact: false, brokenAtSeq: seq, why: 'its hash does not fit it and what came before' };
    this.hash = hash;
    this.count = seq;
    return undefined;
  }

  get head(): ChainHead {
    return { entries: this.count, hash: this.hash };
  }
}

export async function checkAuditChain(
  entries: AsyncIterable<AuditEntry> | Iterable<AuditEntry>,
): Promise<ChainVerdict> {
  const check = new AuditChainCheck();
  for await (const entry of entries) {
    const broken = check.take(entry);
    if (broken !== undefined) return broken;
  }
  return { intact: true, head: check.head };
}
