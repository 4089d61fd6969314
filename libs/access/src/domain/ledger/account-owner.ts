import type { AllocationId, LabId, PersonId, RoundId, SuiteId } from '@beamtime/kernel';

/**
 * Whose units an account keeps; with a unit it names the account. `issuer` and `usage` are the two ends of every
 * flow (where units come from, where used ones go); the others form a tree with `consortium` at its root.
 */
export type AccountOwner =
  | 'issuer'
  | 'usage'
  | 'consortium'
  | 'operations'
  | `lab:${string}`
  | `round:${string}`
  | `suite:${string}`
  | `allocation:${string}`
  | `person:${string}`;

export const labAccount = (labId: LabId | string): AccountOwner => `lab:${labId}`;
export const roundAccount = (roundId: RoundId | string): AccountOwner => `round:${roundId}`;
export const suiteAccount = (suiteId: SuiteId | string): AccountOwner => `suite:${suiteId}`;
export const allocationAccount = (allocationId: AllocationId | string): AccountOwner =>
  `allocation:${allocationId}`;
/** A person's share of an allocation. */
export const personAccount = (
  allocationId: AllocationId | string,
  personId: PersonId | string,
): AccountOwner => `person:${personId}@${allocationId}`;
