import type { AttemptAssignment, ClusterPolicy, SyncAnswer } from '@beamtime/contracts';

export type Offer = SyncAnswer['offers'][number];

export interface OwnState {
  readonly gpus: number;
  readonly draining: boolean;
  readonly hourUtc: number;
  /** Another attempt of the same job runs here. */
  readonly runsJob?: boolean;
}

export interface Refusal {
  /** What kind of refusal it is, for the facility to act on. */
  readonly code: 'policy' | 'capacity' | 'draining';
  readonly reason: string;
}

/** Why this cluster does not take an offer, or null if it does: its own file decides, whatever the server wishes. */
export function refusalOf(offer: Offer, policy: ClusterPolicy, own: OwnState): Refusal | null {
  if (own.draining) return { code: 'draining', reason: 'the agent is draining' };
  const reason = againstPolicy(offer, policy, own);
  if (reason !== null) return { code: 'policy', reason };
  if (own.runsJob === true)
    return { code: 'policy', reason: 'an earlier attempt of this job has not ended here' };
  if (offer.resources.gpus > own.gpus)
    return { code: 'capacity', reason: `this cluster has only ${own.gpus} GPUs` };
  return null;
}

function againstPolicy(offer: Offer, policy: ClusterPolicy, own: OwnState): string | null {
  const { gpus, maxSeconds, gpuShareMilli = 1_000 } = offer.resources;
  if (!policy.kinds.includes(offer.kind)) return `no ${offer.kind} jobs here`;
  const forConsortium = offer.suiteId !== null || offer.labId === null;
  if (forConsortium && !policy.consortium) return 'no jobs of the consortium here';
  if (!forConsortium && policy.labIds !== null && !policy.labIds.includes(offer.labId ?? ''))
    return 'no jobs of this lab here';
  if (policy.gpusPerJobMax !== null && gpus > policy.gpusPerJobMax)
    return `jobs of up to ${policy.gpusPerJobMax} GPUs only`;
  if (policy.secondsPerJobMax !== null && maxSeconds > policy.secondsPerJobMax)
    return `jobs of up to ${policy.secondsPerJobMax} s only`;
  if ((offer.gpuSlot !== undefined) !== gpuShareMilli < 1_000)
    return 'the offer of a part of a GPU does not say of which, or of none';
  if (gpuShareMilli < 1_000 && gpuShareMilli < leastShareMilli(policy.gpuParts ?? 1))
    return (policy.gpuParts ?? 1) === 1
      ? 'no GPU is shared here'
      : `no more than ${policy.gpuParts} jobs share a GPU here`;
  if (policy.hoursUtc !== null && !isWithin(policy.hoursUtc, own.hourUtc)) return 'no work at this hour';
  return null;
}

/** The smallest part of a GPU that so many jobs can have at once, rounded down to a hundredth. */
function leastShareMilli(gpuParts: number): number {
  return Math.floor(100 / gpuParts) * 10;
}

function isWithin(hours: { from: number; to: number }, hour: number): boolean {
  return hours.from < hours.to
    ? hour >= hours.from && hour < hours.to
    : hour >= hours.from || hour < hours.to;
}

/**
 * Why what came with the acceptance is not what was offered and admitted, or null. Without this a server could offer an
 * evaluation of an hour and hand over somebody's command for a week.
 */
export function whyNotAsOffered(offer: Offer, assignment: AttemptAssignment): string | null {
  const { runner, resources } = assignment;
  if (runner.jobId !== offer.jobId || runner.attempt !== offer.attempt)
    return `the facility offered ${offer.jobId}, attempt ${offer.attempt}, and sent the job file of another`;
  if (runner.kind !== offer.kind)
    return `the facility offered ${offer.kind} and sent ${runner.kind}; this cluster does not run it`;
  if (resources.gpus !== offer.resources.gpus)
    return `the facility offered a job of ${offer.resources.gpus} GPUs and sent one of ${resources.gpus}`;
  if ((resources.gpuShareMilli ?? 1_000) !== (offer.resources.gpuShareMilli ?? 1_000))
    return `the facility offered ${offer.resources.gpuShareMilli ?? 1_000} thousandths of a GPU and sent ${resources.gpuShareMilli ?? 1_000}`;
  return null;
}
