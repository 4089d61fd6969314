import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AuditEntry, checkAuditChain } from './check-audit-chain.js';

function chain(details: readonly unknown[]): AuditEntry[] {
  let hash = '0'.repeat(64);
  return details.map((detail, i) => {
    const body = {
      seq: i + 1,
      at: '2026-11-01T00:00:00.000Z',
      actor: 'per_x',
      action: 'a.b',
      subject: 's',
      details: detail,
    };
    hash = createHash('sha256')
      .update(`${hash}\n${canonicalize(body)}`)
      .digest('hex');
    return { ...body, hash };
  });
}

const logs = fc
  .array(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }), { minLength: 1, maxLength: 8 })
  .map(chain);

describe('the audit chain', () => {
  it('is whole as it was written, also after a trip through JSON with keys in another order', async () => {
    await fc.assert(
      fc.asyncProperty(logs, async (log) => {
        const travelled = log.map(
          ({ hash, details, ...rest }) =>
            JSON.parse(JSON.stringify({ hash, details, ...rest })) as AuditEntry,
        );
        expect(await checkAuditChain(travelled)).toEqual({
          intact: true,
          head: { entries: log.length, hash: log.at(-1)?.hash },
        });
      }),
    );
  });

  it('shows any entry that was changed, left out, put in or moved', async () => {
    const tamper = fc.constantFrom('actor', 'action', 'subject', 'details', 'at', 'drop', 'double', 'swap');
    await fc.assert(
      fc.asyncProperty(logs, tamper, fc.nat(), async (log, how, at) => {
        const i = at % log.length;
        const one = log[i] as AuditEntry;
        const bad = [...log];
        if (how === 'drop') {
          // Without its last entries a log is a shorter log: only its last hash, kept elsewhere, tells.
          if (i === log.length - 1) return;
          bad.splice(i, 1);
        } else if (how === 'double') bad.splice(i, 0, one);
        else if (how === 'swap') {
          if (log.length < 2) return;
          const j = (i + 1) % log.length;
          [bad[i], bad[j]] = [log[j] as AuditEntry, one];
        } else bad[i] = { ...one, [how]: how === 'details' ? [one.details] : `${one[how as 'actor']}!` };
        expect((await checkAuditChain(bad)).intact).toBe(false);
      }),
    );
  });

  it('is whole when nothing has happened yet', async () => {
    expect(await checkAuditChain([])).toEqual({ intact: true, head: { entries: 0, hash: '0'.repeat(64) } });
  });
});
