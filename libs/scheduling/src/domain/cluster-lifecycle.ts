import type { TransitionTable } from '@beamtime/kernel';

/** Slurm's words for a cluster that takes work, finishes what it has, has finished, or is not heard of. */
export type ClusterState = 'active' | 'draining' | 'drained' | 'down' | 'retired';

export const clusterLifecycle = {
  active: ['draining', 'down', 'retired'],
  draining: ['active', 'drained', 'down', 'retired'],
  drained: ['active', 'draining', 'down', 'retired'],
  down: ['active', 'draining', 'drained', 'retired'],
  retired: [],
} as const satisfies TransitionTable<ClusterState>;

export interface ClusterFacts {
  readonly state: ClusterState;
  /** A person of the consortium or of the lab asked for it. */
  readonly drainRequested: boolean;
  /** The agent says that its operator drains it. */
  readonly agentDraining: boolean;
  /** Null before its agent has registered. */
  readonly silentMs: number | null;
  readonly liveAttempts: number;
}

/** The state that follows from what is known; a registered cluster that is not heard of is down. */
export function clusterStateOf(facts: ClusterFacts, downAfterMs: number): ClusterState {
  if (facts.state === 'retired') return 'retired';
  if (facts.silentMs === null || facts.silentMs > downAfterMs) return 'down';
  if (!facts.drainRequested && !facts.agentDraining) return 'active';
  if (facts.liveAttempts > 0) return 'draining';
  // By way of draining, so that the history shows both.
  return facts.state === 'active' ? 'draining' : 'drained';
}
