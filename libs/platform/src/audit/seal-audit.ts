import { createHash } from 'node:crypto';
import { default as canonicalize } from 'canonicalize';
import type { Transactor } from '../database/transactor.js';

/** Hash before the first entry. */
export const auditGenesis = '0'.repeat(64);
/** One sealer at a time over all processes. */
const sealLockKey = 4_242_002;
const batchSize = 500;

export interface SealedAuditEntry {
  readonly seq: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly details: unknown;
  readonly hash: string;
}

/** SHA-256 over the previous hash and the RFC 8785 canonical JSON of the entry. */
export function auditHash(previous: string, entry: Omit<SealedAuditEntry, 'hash'>): string {
  const body = canonicalize({
    seq: entry.seq,
    at: entry.at,
    actor: entry.actor,
    action: entry.action,
    subject: entry.subject,
    details: entry.details,
  });
  return createHash('sha256').update(previous).update('\n').update(String(body)).digest('hex');
}

/**
 * Links committed audit entries into the hash chain, in commit order. Entries are appended without a lock in the
 * transactions that they belong to; sealing them apart keeps a chain from serialising every commit (ADR 0006).
 */
export async function sealAudit(transactor: Transactor): Promise<number> {
  let total = 0;
  for (;;) {
    const sealed = await transactor.do(async (tx) => {
      const [lock] = await tx.rows<{ got: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS got', [
        sealLockKey,
      ]);
      if (lock?.got !== true) return 0;
      const head = await tx.row<{ seq: string; hash: string }>(
        'SELECT seq, hash FROM platform.audit_chain ORDER BY seq DESC LIMIT 1',
      );
      const entries = await tx.rows<{
        id: string;
        at: Date;
        actor: string;
        action: string;
        subject: string;
        details: unknown;
      }>(
        `SELECT e.id, e.at, e.actor, e.action, e.subject, e.details FROM platform.audit_entry e
         WHERE e.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
           AND (e.xid, e.id) > COALESCE(
             (SELECT (l.xid, l.id) FROM platform.audit_chain c JOIN platform.audit_entry l ON l.id = c.entry_id
              ORDER BY c.seq DESC LIMIT 1), (0::bigint, 0::bigint))
         ORDER BY e.xid, e.id LIMIT ${batchSize}`,
      );
      let seq = Number(head?.seq ?? 0);
      let hash = head?.hash ?? auditGenesis;
      const links = entries.map((entry) => {
        seq += 1;
        hash = auditHash(hash, { ...entry, seq, at: entry.at.toISOString() });
        return { seq, hash };
      });
      if (entries.length > 0) {
        await tx.rows(
          `INSERT INTO platform.audit_chain (seq, entry_id, hash)
           SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])`,
          [links.map((link) => link.seq), entries.map((entry) => entry.id), links.map((link) => link.hash)],
        );
      }
      return entries.length;
    });
    total += sealed;
    if (sealed < batchSize) return total;
  }
}

/** A page of the sealed log, oldest first, after sequence number `afterSeq`. */
export async function readAudit(
  transactor: Transactor,
  afterSeq: number,
  limit: number,
): Promise<SealedAuditEntry[]> {
  const rows = await transactor.read.rows<{
    seq: string;
    at: Date;
    actor: string;
    action: string;
    subject: string;
    details: unknown;
    hash: string;
  }>(
    `SELECT c.seq, e.at, e.actor, e.action, e.subject, e.details, c.hash
     FROM platform.audit_chain c JOIN platform.audit_entry e ON e.id = c.entry_id
     WHERE c.seq > $1 ORDER BY c.seq LIMIT $2`,
    [afterSeq, limit],
  );
  return rows.map((row) => ({ ...row, seq: Number(row.seq), at: row.at.toISOString() }));
}

/** The first sequence number that does not check, or null: the chain is whole from `previous` on. */
export function checkAuditChain(
  entries: readonly SealedAuditEntry[],
  previous: string = auditGenesis,
): number | null {
  let hash = previous;
  let seq = entries[0] === undefined ? 0 : entries[0].seq - 1;
  for (const entry of entries) {
    hash = auditHash(hash, entry);
    seq += 1;
    if (entry.seq !== seq || entry.hash !== hash) return entry.seq;
  }
  return null;
}
