import { err, ok, problem, type Result } from '@beamtime/kernel';
import { type HoldState, stateAfter } from './hold-state.js';
import type { Hold, LedgerCommand, LedgerProblem, OpenAccount, Settle, Transfer } from './ledger-command.js';

/** What the model says a command does: the part of the ledger's answer that can be compared. */
export interface ModelAnswer {
  readonly replayed: boolean;
  readonly amount?: number;
}

interface ModelAccount {
  readonly parent: string | null;
  readonly fund: string | null;
  readonly accountKind: 'issuer' | 'usage' | 'fund' | 'share';
  limit: number | null;
  closesAt: Date | null;
}

interface ModelGrant {
  readonly account: string;
  readonly expiresAt: number;
  readonly order: number;
  free: number;
}

interface ModelHold {
  readonly hold: Hold;
  readonly expiresAt: number;
  readonly pieces: readonly { readonly grant: ModelGrant; readonly amount: number }[];
  state: HoldState;
  posted: number;
}

const never = Number.POSITIVE_INFINITY;

/**
 * The rules of the ledger for one unit, in memory, and nothing else: what the database must agree with. It keeps
 * what is free, held and used instead of entries, so that an error in the bookkeeping cannot hide in both.
 */
export class LedgerModel {
  readonly accounts = new Map<string, ModelAccount>();
  readonly holds = new Map<string, ModelHold>();
  private readonly transfers = new Map<string, { command: Transfer; amount: number }>();
  private readonly grants: ModelGrant[] = [];

  constructor() {
    for (const kind of ['issuer', 'usage'] as const) {
      this.accounts.set(kind, { parent: null, fund: null, accountKind: kind, limit: null, closesAt: null });
    }
    this.accounts.set('consortium', {
      parent: null,
      fund: 'consortium',
      accountKind: 'fund',
      limit: null,
      closesAt: null,
    });
  }

  apply(command: LedgerCommand, now: Date): Result<ModelAnswer, LedgerProblem> {
    switch (command.kind) {
      case 'open':
        return this.open(command);
      case 'transfer':
        return this.transfer(command, now.getTime());
      case 'hold':
        return this.hold(command, now.getTime());
      case 'settle':
        return this.settle(command, now.getTime());
      case 'adjust':
      case 'lapse':
        throw new TypeError(`${command.kind} is not modelled`);
    }
  }

  /** What could be held at this account. */
  available(owner: string, now: number): number {
    const account = this.accounts.get(owner);
    if (account === undefined || account.fund === null) return 0;
    let free = this.freeOf(account.fund, now);
    for (const above of this.path(owner)) {
      const limit = this.accounts.get(above)?.limit ?? never;
      free = Math.min(free, limit - this.drawn(above).held - this.drawn(above).used);
    }
    return free;
  }

  /** Held and used at this account and below. */
  drawn(owner: string): { held: number; used: number } {
    let held = 0;
    let used = 0;
    for (const { hold, state, posted } of this.holds.values()) {
      if (!this.path(hold.account).includes(owner)) continue;
      if (state === 'pending') held += hold.amount;
      used += posted;
    }
    return { held, used };
  }

  private open(command: OpenAccount): Result<ModelAnswer, LedgerProblem> {
    const parent = this.accounts.get(command.parent);
    const old = this.accounts.get(command.owner);
    if (old !== undefined) {
      const same = old.parent === command.parent && old.accountKind === command.accountKind;
      return same ? ok({ replayed: true }) : err(problem('access.id-reused', 'opened otherwise'));
    }
    if (parent === undefined || parent.fund === null) return err(problem('resource.not-found', 'parent'));
    this.accounts.set(command.owner, {
      parent: command.parent,
      fund: command.accountKind === 'fund' ? command.owner : parent.fund,
      accountKind: command.accountKind,
      limit: command.limit ?? null,
      closesAt: command.closesAt ?? null,
    });
    return ok({ replayed: false });
  }

  private transfer(command: Transfer, now: number): Result<ModelAnswer, LedgerProblem> {
    const old = this.transfers.get(command.id);
    if (old !== undefined || this.holds.has(command.id)) {
      const same =
        old !== undefined &&
        old.command.from === command.from &&
        old.command.to === command.to &&
        old.command.reference === command.reference &&
        (command.amount ?? old.amount) === old.amount;
      return same
        ? ok({ replayed: true, amount: old.amount })
        : err(problem('access.id-reused', 'another entry'));
    }
    const from = this.accounts.get(command.from)?.accountKind;
    const to = this.accounts.get(command.to)?.accountKind;
    const moves = (kind: string | undefined) => kind === 'issuer' || kind === 'fund';
    if (!moves(from) || !moves(to) || command.from === command.to) {
      return err(problem('resource.not-found', 'no such accounts'));
    }
    const free = from === 'issuer' ? never : this.freeOf(command.from, now);
    const amount = command.amount ?? (from === 'issuer' ? 0 : free);
    if (amount > free) return err(problem('access.insufficient-units', 'too little'));
    if (amount === 0) return ok({ replayed: true, amount: 0 });
    const expiresAt = command.expiresAt?.getTime() ?? never;
    const pieces = from === 'issuer' ? [{ expiresAt: never, amount }] : this.take(command.from, amount, now);
    if (to === 'fund') {
      for (const piece of pieces) {
        this.addGrant(command.to, piece.amount, Math.min(expiresAt, piece.expiresAt));
      }
    }
    this.transfers.set(command.id, { command, amount });
    return ok({ replayed: false, amount });
  }

  private hold(command: Hold, now: number): Result<ModelAnswer, LedgerProblem> {
    const old = this.holds.get(command.id);
    if (old !== undefined || this.transfers.has(command.id)) {
      const same =
        old !== undefined &&
        old.hold.account === command.account &&
        old.hold.amount === command.amount &&
        old.hold.reference === command.reference;
      return same
        ? ok({ replayed: true, amount: command.amount })
        : err(problem('access.id-reused', 'another entry'));
    }
    const fund = this.accounts.get(command.account)?.fund ?? null;
    if (fund === null) return err(problem('resource.not-found', 'no such account'));
    for (const above of this.path(command.account)) {
      if ((this.accounts.get(above)?.closesAt?.getTime() ?? never) <= now) {
        return err(problem('access.allocation-inactive', 'closed'));
      }
    }
    if (command.amount > this.available(command.account, now)) {
      return err(problem('access.insufficient-units', 'too little'));
    }
    this.holds.set(command.id, {
      hold: command,
      expiresAt: command.ttlMs === null ? never : now + command.ttlMs,
      pieces: this.take(fund, command.amount, now),
      state: 'pending',
      posted: 0,
    });
    return ok({ replayed: false, amount: command.amount });
  }

  private settle(command: Settle, now: number): Result<ModelAnswer, LedgerProblem> {
    const held = this.holds.get(command.hold);
    const amount = command.amount ?? 0;
    if (held === undefined) return err(problem('resource.not-found', 'no such hold'));
    const state = stateAfter[command.outcome];
    if (held.state !== 'pending') {
      return held.state === state && held.posted === amount
        ? ok({ replayed: true, amount })
        : err(problem('access.hold-settled', 'settled'));
    }
    if (command.outcome === 'expire' && held.expiresAt > now) {
      return err(problem('state.illegal-transition', 'not yet'));
    }
    if (command.outcome === 'post' && held.expiresAt <= now) {
      return err(problem('access.hold-settled', 'ran out'));
    }
    if (amount > held.hold.amount) return err(problem('limit.exceeded', 'more than held'));
    let rest = amount;
    for (const piece of held.pieces) {
      const used = Math.min(rest, piece.amount);
      piece.grant.free += piece.amount - used;
      rest -= used;
    }
    held.state = state;
    held.posted = amount;
    return ok({ replayed: false, amount });
  }

  /** From the owner up to the root. */
  private path(owner: string): string[] {
    const path: string[] = [];
    for (let at: string | null = owner; at !== null; at = this.accounts.get(at)?.parent ?? null)
      path.push(at);
    return path;
  }

  private live(fund: string, now: number): ModelGrant[] {
    return this.grants
      .filter((grant) => grant.account === fund && grant.expiresAt > now && grant.free > 0)
      .sort((a, b) => (a.expiresAt === b.expiresAt ? a.order - b.order : a.expiresAt - b.expiresAt));
  }

  private freeOf(fund: string, now: number): number {
    return this.live(fund, now).reduce((sum, grant) => sum + grant.free, 0);
  }

  private take(fund: string, amount: number, now: number) {
    const pieces: { grant: ModelGrant; amount: number; expiresAt: number }[] = [];
    let rest = amount;
    for (const grant of this.live(fund, now)) {
      const taken = Math.min(rest, grant.free);
      if (taken === 0) break;
      grant.free -= taken;
      rest -= taken;
      pieces.push({ grant, amount: taken, expiresAt: grant.expiresAt });
    }
    return pieces;
  }

  private addGrant(account: string, amount: number, expiresAt: number): void {
    this.grants.push({ account, expiresAt, order: this.grants.length, free: amount });
  }
}
