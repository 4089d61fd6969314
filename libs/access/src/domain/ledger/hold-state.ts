import type { TransitionTable } from '@beamtime/kernel';

/** A hold ends once: charged in whole or part, given back, or run out. */
export type HoldState = 'pending' | 'posted' | 'voided' | 'expired';

export const holdTransitions = {
  pending: ['posted', 'voided', 'expired'],
  posted: [],
  voided: [],
  expired: [],
} as const satisfies TransitionTable<HoldState>;

export type Outcome = 'post' | 'void' | 'expire';

export const stateAfter: Readonly<Record<Outcome, HoldState>> = {
  post: 'posted',
  void: 'voided',
  expire: 'expired',
};
