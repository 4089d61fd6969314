import type { ClusterPolicy, SyncAnswer } from '@beamtime/contracts';

export type Offer = SyncAnswer['offers'][number];

export interface OwnState {
  readonly gpus: number;
  readonly draining: boolean;
  readonly hourUtc: number;
}

/** Why this cluster does not take an offer, or null if it does: its own file decides, whatever the server wishes. */
export function refusalOf(offer: Offer, policy: ClusterPolicy, own: OwnState): string | null {
  const { gpus, maxSeconds } = offer.resources;
  if (own.draining) return 'the agent is draining';
  if (!policy.kinds.includes(offer.kind)) return `no ${offer.kind} jobs here`;
  const forConsortium = offer.suiteId !== null || offer.labId === null;
  if (forConsortium && !policy.consortium) return 'no jobs of the consortium here';
  if (!forConsortium && policy.labIds !== null && !policy.labIds.includes(offer.labId ?? ''))
    return 'no jobs of this lab here';
  if (policy.gpusPerJobMax !== null && gpus > policy.gpusPerJobMax)
    return `jobs of up to ${policy.gpusPerJobMax} GPUs only`;
  if (policy.secondsPerJobMax !== null && maxSeconds > policy.secondsPerJobMax)
    return `jobs of up to ${policy.secondsPerJobMax} s only`;
  if (policy.hoursUtc !== null && !isWithin(policy.hoursUtc, own.hourUtc)) return 'no work at this hour';
  if (gpus > own.gpus) return `this cluster has only ${own.gpus} GPUs`;
  return null;
}

function isWithin(hours: { from: number; to: number }, hour: number): boolean {
  return hours.from < hours.to
    ? hour >= hours.from && hour < hours.to
    : hour >= hours.from || hour < hours.to;
}
