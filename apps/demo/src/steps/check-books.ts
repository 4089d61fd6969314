import { createHash } from 'node:crypto';
import { checkBooks, exportAudit, gpuSecondsReport } from '@beamtime/contracts';
import canonicalize from 'canonicalize';
import type { World } from '../world.js';

const settleTimeoutMs = 30_000;
const auditPage = 1_000;

/** The chain of ids from a ballot to the figure, each of which an outsider can follow. */
export interface ChainLink {
  readonly what: string;
  readonly id: string;
}

/** The ledger, the GPU-seconds, the audit chain, and one chain of ids. */
export async function checkTheBooks(
  world: World,
  suiteId: string,
  chain: readonly ChainLink[],
): Promise<void> {
  const { narrator } = world;
  narrator.chapter('Books: every unit accounted for');
  const books = await world.api.call(checkBooks, {});
  for (const check of books.checks) {
    narrator.check(check.says, check.violations === 0, check.example ?? undefined);
  }
  narrator.check(
    'the ledger sums to zero',
    books.ok && books.totals.every((t) => t.issued === t.available + t.held + t.used),
  );
  narrator.table(
    ['unit', 'issued', 'available', 'held', 'used', 'entries'],
    books.totals.map((t) => [
      t.unit,
      String(t.issued),
      String(t.available),
      String(t.held),
      String(t.used),
      String(t.entries),
    ]),
  );
  const account = await settledAccount(world, suiteId);
  narrator.check(
    'GPU-seconds held = used + returned for the suite',
    account.held === account.used + account.returned + account.stillHeld && account.stillHeld === 0,
    `${account.held} = ${account.used} + ${account.returned}`,
  );
  const entries = await checkAudit(world);
  narrator.say('');
  narrator.say('One chain of ids, from the ballot to the figure:');
  for (const { what, id } of chain) narrator.fact(`→ ${what}`, id);
  world.report['books'] = {
    totals: books.totals,
    checks: books.checks,
    gpuSeconds: account,
    auditEntries: entries,
  };
  world.report['chain'] = chain;
}

/** The suite's account once its last job is settled: settlement follows a job's end by a fact. */
async function settledAccount(world: World, suiteId: string) {
  const deadlineMs = Date.now() + settleTimeoutMs;
  for (;;) {
    const { accounts } = await world.api.call(gpuSecondsReport, {});
    const account = accounts.find((a) => a.account === `suite:${suiteId}`);
    if (account === undefined) throw new Error(`the books have no account of ${suiteId}`);
    if (account.stillHeld === 0 || Date.now() > deadlineMs) return account;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** Recomputes the hash chain from the public export, as an auditor would. Returns how many entries it has. */
async function checkAudit(world: World): Promise<number> {
  let previous = '0'.repeat(64);
  let count = 0;
  let intact = true;
  for (;;) {
    const { entries } = await world.api.call(exportAudit, { query: { afterSeq: count, limit: auditPage } });
    for (const { hash, ...entry } of entries) {
      previous = createHash('sha256')
        .update(`${previous}\n${String(canonicalize(entry))}`)
        .digest('hex');
      intact &&= hash === previous && entry.seq === count + 1;
      count += 1;
    }
    if (entries.length < auditPage) break;
  }
  world.narrator.check(
    "the audit log's hash chain checks",
    intact && count > 0,
    `${count} entries, head ${previous.slice(0, 12)}…`,
  );
  return count;
}
