import { canonicalText } from './canonical-text.js';
import { sha256 } from './sha256.js';
import type { EqualSharesRule, GreedyRule, PhragmenRule, TallyBudget, TallyProject } from './tally-input.js';

export const CERTIFICATE_FORMAT = 'beamtime-tally-certificate/2';

/**
 * Everything needed to check a tally without running it again. All amounts are whole numbers as text, in the units
 * that `units` states: budgets, costs and the increment in units of money; endowment, prices, payments and what is left
 * in grains. Numbers are only positions in lists. Where voters pay, amounts are per unit of weight.
 */
export interface TallyCertificate {
  readonly format: typeof CERTIFICATE_FORMAT;
  readonly title: string;
  /** The rule, with its amounts as whole numbers too. */
  readonly rule: CertifiedRule;
  readonly seed: string;
  readonly units: CertifiedUnits;
  readonly budgets: readonly TallyBudget[];
  readonly projects: readonly TallyProject[];
  /** Roll, weights and ballots: voters with equal weight and equal ballot stand together. */
  readonly groups: readonly CertifiedGroup[];
  /** What a unit of weight was given of each budget, in grains, after so many raises; 0 but under Equal Shares. */
  readonly endowment: string;
  readonly raises: number;
  /** In order of purchase. */
  readonly winners: readonly CertifiedWinner[];
  /** In the order of `projects`. */
  readonly losers: readonly CertifiedLoser[];
  /** Add1 only: the purchases one raise later, as far as they exceed the budget. Empty when no raise was left. */
  readonly overrun: readonly CertifiedPrice[];
  /** Without skip: the project at which the count stopped because it did not fit. */
  readonly stop: readonly CertifiedPrice[];
  /** SHA-256 of the canonical text of `groups`, which a round publishes at the close. */
  readonly ballotsSha256: string;
  /** SHA-256 of the canonical text of all but `groups`, which `ballotsSha256` stands for. */
  readonly sha256: string;
}

export type CertifiedRule =
  | (EqualSharesRule & { readonly increment: string; readonly threshold: string })
  | (PhragmenRule & { readonly threshold: string })
  | (GreedyRule & { readonly threshold: string });

/** How many of the whole numbers of the certificate make one of what they count. */
export interface CertifiedUnits {
  /** For each budget. */
  readonly money: readonly string[];
  /**
   * Grains that make a whole budget, each budget alike: fine enough that all prices and payments are whole, and of one
   * size beside each other, so that prices in different budgets compare.
   */
  readonly grains: string;
  readonly weight: string;
  readonly score: string;
}

export interface CertifiedGroup {
  readonly voters: readonly string[];
  readonly weight: string;
  readonly ballot: readonly string[];
  readonly scores: readonly string[];
}

export interface CertifiedPrice {
  readonly project: string;
  /** Equal Shares: what a unit of weight pays for a unit of score in each budget. Phragmén: the time. */
  readonly prices: readonly string[];
}

export interface CertifiedWinner extends CertifiedPrice {
  readonly by: 'equal-shares' | 'phragmen' | 'greedy';
  /** Who paid what; every group that supports the winner stands in one of them. Empty for greedy. */
  readonly payments: readonly CertifiedPayment[];
}

export interface CertifiedPayment {
  /** Per unit of weight, one amount for each budget. */
  readonly amounts: readonly string[];
  /** Positions in `groups`. */
  readonly groups: readonly number[];
}

export interface CertifiedLoser {
  readonly project: string;
  readonly reason: LossReason;
}

/** Why a project lost. */
export type LossReason =
  /** Nobody supported it. */
  | { readonly code: 'unsupported' }
  /** Another version of the same suite won. */
  | { readonly code: 'variant'; readonly winner: string }
  /** Equal Shares: what its supporters had left in all, in grains of each budget; in one less than it costs. */
  | { readonly code: 'unaffordable'; readonly left: readonly string[] }
  /** What was left of each budget in the end, in grains; in one of them less than it costs. */
  | { readonly code: 'no_room'; readonly left: readonly string[] }
  /** Its votes or points did not reach the threshold. */
  | { readonly code: 'below_threshold' }
  /** The rule stops at the first project that does not fit, and that one came before. */
  | { readonly code: 'after_stop'; readonly stoppedBy: string };

/** Binds every field by the digests, the ballots by their own; to be published where it cannot be altered later. */
export function sealCertificate(
  content: Omit<TallyCertificate, 'ballotsSha256' | 'sha256'>,
): TallyCertificate {
  const { groups, ...rest } = content;
  const bound = { ...rest, ballotsSha256: sha256(canonicalText(groups)) };
  return { ...content, ballotsSha256: bound.ballotsSha256, sha256: sha256(canonicalText(bound)) };
}
