import type { TransitionTable } from '@beamtime/kernel';

/** Where an application stands. `awarded` waits for the applicant, who may still say no. */
export const applicationStates = [
  'draft',
  'submitted',
  'in-review',
  'recommended',
  'awarded',
  'rejected',
  'accepted',
  'withdrawn',
] as const;
export type ApplicationState = (typeof applicationStates)[number];

export const applicationTransitions = {
  draft: ['submitted', 'withdrawn'],
  submitted: ['in-review', 'awarded', 'rejected', 'withdrawn'],
  'in-review': ['recommended', 'rejected', 'withdrawn'],
  recommended: ['awarded', 'rejected', 'withdrawn'],
  awarded: ['accepted', 'withdrawn'],
  rejected: ['submitted'],
  accepted: [],
  withdrawn: [],
} as const satisfies TransitionTable<ApplicationState>;

/** States in which reviewers are found and write. */
export const reviewableStates: readonly ApplicationState[] = ['submitted', 'in-review', 'recommended'];

export const allocationStates = ['active', 'suspended', 'expired', 'closed'] as const;
export type AllocationState = (typeof allocationStates)[number];

export const allocationTransitions = {
  active: ['suspended', 'expired', 'closed'],
  suspended: ['active', 'expired', 'closed'],
  expired: [],
  closed: [],
} as const satisfies TransitionTable<AllocationState>;
