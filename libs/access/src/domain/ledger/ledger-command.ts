import type { Problem, Unit } from '@beamtime/kernel';
import type { AccountOwner } from './account-owner.js';
import type { HoldState, Outcome } from './hold-state.js';

/** `fund` has units of its own; `share` draws on the nearest fund above it, up to its limit. */
export type AccountKind = 'fund' | 'share';

interface Acted {
  /** Id of the person, cluster or part of the facility that asks for it. */
  readonly actor: string;
}

/** Opens an account below its parent. */
export interface OpenAccount extends Acted {
  readonly kind: 'open';
  readonly unit: Unit;
  readonly owner: AccountOwner;
  readonly accountKind: AccountKind;
  readonly parent: AccountOwner;
  /** What may be drawn here and below, held and posted together; null for no limit but those above. */
  readonly limit?: number | null;
  /** Outside this window nothing can be held here or below. */
  readonly opensAt?: Date | null;
  readonly closesAt?: Date | null;
}

/** Changes limit or window of an account; what is left out stays. */
export interface AdjustAccount extends Acted {
  readonly kind: 'adjust';
  readonly unit: Unit;
  readonly owner: AccountOwner;
  readonly limit?: number | null;
  readonly opensAt?: Date | null;
  readonly closesAt?: Date | null;
}

/** Moves units. What a fund receives is a grant, which may start later and expire. */
export interface Transfer extends Acted {
  readonly kind: 'transfer';
  /** Made by the client: sent again, the same transfer changes nothing. */
  readonly id: string;
  readonly unit: Unit;
  readonly from: AccountOwner;
  readonly to: AccountOwner;
  /** Left out: all that is free. */
  readonly amount?: number;
  readonly startsAt?: Date | null;
  readonly expiresAt?: Date | null;
  /** Id of what it is for. */
  readonly reference: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Sets units aside before the work that uses them. */
export interface Hold extends Acted {
  readonly kind: 'hold';
  /** Made by the client: sent again, the same hold changes nothing. */
  readonly id: string;
  readonly unit: Unit;
  readonly account: AccountOwner;
  readonly amount: number;
  /** The hold expires after this; null for one that only its owner ends. */
  readonly ttlMs: number | null;
  /** Id of what it is for: a job, a request. */
  readonly reference: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Ends a hold. A hold has one settlement, so its id is all that is needed to send this again. */
export interface Settle extends Acted {
  readonly kind: 'settle';
  readonly hold: string;
  readonly outcome: Outcome;
  /** With `post`: what was used, at most what is held; the rest goes back. */
  readonly amount?: number;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Gives back what is left of an expired grant. */
export interface Lapse extends Acted {
  readonly kind: 'lapse';
  readonly grant: string;
}

export type LedgerCommand = OpenAccount | AdjustAccount | Transfer | Hold | Settle | Lapse;

export type LedgerProblem = Problem<
  | 'access.insufficient-units'
  | 'access.hold-settled'
  | 'access.allocation-inactive'
  | 'access.id-reused'
  | 'limit.exceeded'
  | 'resource.not-found'
  | 'state.illegal-transition'
>;

/** What a command did, or had done when it came first. */
export interface LedgerAnswer {
  readonly kind: 'open' | 'adjust' | 'transfer' | 'hold' | 'lapse' | Outcome;
  /** Id in the journal; absent when an account was opened or adjusted. */
  readonly id?: string;
  readonly unit: Unit;
  readonly account: AccountOwner;
  readonly debit?: AccountOwner;
  readonly credit?: AccountOwner;
  readonly amount?: number;
  readonly reference?: string;
  readonly expiresAt?: string | null;
  /** Of a hold, as it is now. */
  readonly state?: HoldState;
  /** Whether this was done before, so that nothing changed now. */
  readonly replayed: boolean;
}
