import type { Charter } from './charter.js';

/** Everything that decides a round, as it stood when the vote opened. Nothing else is looked at afterwards. */
export interface FrozenRound {
  readonly format: 'beamtime-frozen-round/1';
  readonly roundId: string;
  readonly title: string;
  readonly frozenAt: string;
  readonly charter: Charter;
  readonly budgets: readonly FrozenBudget[];
  readonly pledges: readonly FrozenPledge[];
  readonly proposals: readonly FrozenProposal[];
  readonly roll: readonly RollEntry[];
  readonly seedCommitment: string;
}

export interface FrozenBudget {
  readonly gpuType: string;
  readonly gpuSeconds: number;
}

export interface FrozenPledge {
  readonly labId: string;
  readonly gpuType: string;
  readonly gpuSeconds: number;
}

export interface FrozenProposal {
  readonly proposalId: string;
  readonly version: number;
  readonly kind: 'suite' | 'policy' | 'motion';
  readonly labId: string;
  readonly title: string;
  readonly suiteId: string | null;
  readonly policyId: string | null;
  readonly gpuType: string | null;
  readonly gpuSeconds: number | null;
  readonly exclusiveGroup: string | null;
  readonly flagship: boolean;
  /** The design, rule or text, as the voters read it. */
  readonly body: unknown;
}

export interface RollEntry {
  /** The lab, or with voters = members the person. */
  readonly voterId: string;
  readonly labId: string;
  readonly label: string;
  /** Exact: `1`, `40`, `7/3`. */
  readonly weight: string;
  readonly contribution: number;
  readonly inArrears: boolean;
  readonly casters: readonly Caster[];
}

/** Somebody who may cast this voter's ballot. */
export interface Caster {
  readonly personId: string;
  readonly as: 'delegate' | 'deputy' | 'member';
}
