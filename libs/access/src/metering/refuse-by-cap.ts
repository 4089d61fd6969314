import type { CapUnits, ProblemCode } from '@beamtime/contracts';
import { type Problem, problem } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { Hold } from '../domain/ledger/ledger-command.js';
import { whole } from '../ledger/read-accounts.js';

/** In the details of a hold, whose use a cap counts. */
const counted = { person: 'personId', lab: 'labId', allocation: 'allocationId' } as const;

/**
 * Whether a hold that stands in this transaction goes over a cap. Counts what the policy bound since it was adopted:
 * holds within the window, settled ones by what they used.
 */
export async function refusalByCap(
  tx: Tx,
  cap: { readonly policyId: string; readonly rule: CapUnits },
  hold: Omit<Hold, 'kind'>,
): Promise<Problem<ProblemCode> | null> {
  const { rule, policyId } = cap;
  if (rule.unit !== hold.unit) return null;
  const field = counted[rule.per];
  const row = await tx.row<{ total: string }>(
    `SELECT coalesce(sum(coalesce(h.posted, h.amount)), 0) AS total
     FROM access.journal j JOIN access.hold h ON h.id = j.id
     WHERE j.kind = 'hold' AND j.unit = $1 AND j.at > clock_timestamp() - $2 * interval '1 hour'
       AND j.details->'caps' ? $3 AND j.details->>'${field}' = $4`,
    [rule.unit, rule.windowHours, policyId, hold.details?.[field]],
  );
  const total = whole(row?.total ?? 0);
  if (total <= rule.amount) return null;
  const available = Math.max(0, rule.amount - (total - hold.amount));
  return problem(
    'access.policy-denied',
    `The policy ${policyId} allows ${rule.amount} ${rule.unit} per ${rule.per} in ${rule.windowHours} hours; ${available} are left now, and ${hold.amount} are asked for; nothing was charged`,
    { policyId, unit: rule.unit, available, requested: hold.amount },
  );
}
