import type { TransitionTable } from '@beamtime/kernel';

export type RoundState =
  | 'planned'
  | 'proposing'
  | 'deliberating'
  | 'voting'
  | 'counting'
  | 'decided'
  | 'cancelled';

/**
 * A round moves forward only. A charter without deliberation goes from proposing straight to voting; once the vote
 * has closed a round can no longer be cancelled, so that nobody can look at the ballots first.
 */
export const roundLifecycle = {
  planned: ['proposing', 'cancelled'],
  proposing: ['deliberating', 'voting', 'cancelled'],
  deliberating: ['voting', 'cancelled'],
  voting: ['counting', 'cancelled'],
  counting: ['decided'],
  decided: [],
  cancelled: [],
} as const satisfies TransitionTable<RoundState>;

/** Pledges and the charter may change until the vote opens. */
export const statesBeforeVote: readonly RoundState[] = ['planned', 'proposing', 'deliberating'];
/** Proposals may be amended, withdrawn and commented on. */
export const statesOfDiscussion: readonly RoundState[] = ['proposing', 'deliberating'];
/** Ballots are public in these states, and in no other. */
export const statesWithPublicBallots: readonly RoundState[] = ['counting', 'decided'];
