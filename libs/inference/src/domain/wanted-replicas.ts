/** Between what a model's replicas are kept, and by what. */
export interface ReplicaBounds {
  /** Replicas that are there whether somebody asks or not; 0: none are kept when nobody does. */
  readonly floor: number;
  readonly ceiling: number;
  /** Requests in flight that one replica should have. */
  readonly targetInFlight: number;
  /** A model that nobody asked for this long need not be kept loaded. */
  readonly idleMs: number;
}

/** Requests for a model in a short while, at all gateways: those at a replica and those that wait for one. */
export interface LoadSample {
  readonly ageMs: number;
  readonly inFlight: number;
}

export interface Demand {
  /** A while without requests has no sample. */
  readonly samples: readonly LoadSample[];
  /** Since the model was asked last; null: never. */
  readonly sinceUsedMs: number | null;
}

/** One sample stands for so long. */
export const sampleMs = 5_000;
/** What goes up follows the mean of the last so long: a few requests that meet are no load. */
const risingMs = 2 * sampleMs;
/**
 * What goes down follows the highest of the last so long, since a replica costs minutes to have again. It is the
 * `--horizontal-pod-autoscaler-downscale-stabilization` of Kubernetes, with its default.
 */
export const quietMs = 300_000;
/** Deviations from the target that change nothing: the tolerance of Kubernetes' autoscaler, with its default. */
const tolerance = 0.1;

/**
 * How many replicas a model should have. The semantics are those of Kubernetes' HorizontalPodAutoscaler (load over
 * target, rounded up; a tolerance; a window in which the highest recommendation stands), with the measure of Knative's
 * autoscaler: requests in flight, also those that still wait, and none at all when nobody asks.
 *
 * More load never means fewer replicas. A load that stays within the tolerance of what there is for changes nothing.
 *
 * @param wantedNow the answer of the last time
 */
export function wantedReplicas(bounds: ReplicaBounds, demand: Demand, wantedNow: number): number {
  const { floor, ceiling, targetInFlight, idleMs } = bounds;
  const recent = meanOver(demand.samples, risingMs);
  const highest = Math.max(
    0,
    ...demand.samples.filter(({ ageMs }) => ageMs < quietMs).map((one) => one.inFlight),
  );
  const isInUse = demand.sinceUsedMs !== null && demand.sinceUsedMs < idleMs;
  const grows = recent > wantedNow * targetInFlight * (1 + tolerance);
  const wanted = grows
    ? Math.ceil(recent / targetInFlight)
    : Math.min(wantedNow, Math.ceil(highest / (targetInFlight * (1 - tolerance))));
  return Math.min(ceiling, Math.max(floor, wanted, isInUse ? 1 : 0));
}

function meanOver(samples: readonly LoadSample[], ms: number): number {
  const sum = samples.reduce((total, one) => total + (one.ageMs < ms ? one.inFlight : 0), 0);
  return sum / (ms / sampleMs);
}
