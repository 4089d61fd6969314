import { present, type Unit } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { AccountOwner } from '../domain/ledger/account-owner.js';
import type {
  AdjustAccount,
  Hold,
  LedgerCommand,
  OpenAccount,
  Transfer,
} from '../domain/ledger/ledger-command.js';
import { applyCommands, type LedgerOutcome } from './apply-commands.js';
import { GroupCommit } from './group-commit.js';
import { type AccountBalance, readAccounts, readBalance } from './read-accounts.js';
import { type JournalLine, type JournalQuery, readJournal } from './read-journal.js';

type Without<C> = Omit<C, 'kind'>;

/**
 * Double-entry books of all units with two-phase transfers. Every call takes a transaction to be part of, or does
 * without and then shares its commit with others. An error value means that nothing changed; ids are made by the
 * caller, so that sending a call again does it once.
 */
@Injectable()
export class Ledger {
  private readonly together: GroupCommit;

  constructor(@Inject(Transactor) private readonly transactor: Transactor) {
    this.together = new GroupCommit(transactor);
  }

  /** Does several commands in order; each is answered by itself. */
  async apply(commands: readonly LedgerCommand[], tx?: Tx): Promise<LedgerOutcome[]> {
    return tx === undefined ? this.together.submit(commands) : applyCommands(tx, commands);
  }

  async open(account: Without<OpenAccount>, tx?: Tx): Promise<LedgerOutcome> {
    return this.one({ kind: 'open', ...account }, tx);
  }

  async adjust(account: Without<AdjustAccount>, tx?: Tx): Promise<LedgerOutcome> {
    return this.one({ kind: 'adjust', ...account }, tx);
  }

  /** Brings new units into the books. */
  async credit(credit: Omit<Without<Transfer>, 'from'>, tx?: Tx): Promise<LedgerOutcome> {
    return this.one({ kind: 'transfer', from: 'issuer', ...credit }, tx);
  }

  async transfer(transfer: Without<Transfer>, tx?: Tx): Promise<LedgerOutcome> {
    return this.one({ kind: 'transfer', ...transfer }, tx);
  }

  /** Sets units aside; refused unless the account and every one above it cover them. */
  async hold(hold: Without<Hold>, tx?: Tx): Promise<LedgerOutcome> {
    return this.one({ kind: 'hold', ...hold }, tx);
  }

  /** Charges a hold with what was used and gives the rest back. */
  async post(
    post: { hold: string; amount: number; actor: string; details?: Readonly<Record<string, unknown>> },
    tx?: Tx,
  ): Promise<LedgerOutcome> {
    return this.one({ kind: 'settle', outcome: 'post', ...post }, tx);
  }

  /** Gives a hold back in full. */
  async void(
    settlement: { hold: string; actor: string; details?: Readonly<Record<string, unknown>> },
    tx?: Tx,
  ): Promise<LedgerOutcome> {
    return this.one({ kind: 'settle', outcome: 'void', ...settlement }, tx);
  }

  /** Gives a hold back whose time has run out. */
  async expire(settlement: { hold: string; actor: string }, tx?: Tx): Promise<LedgerOutcome> {
    return this.one({ kind: 'settle', outcome: 'expire', ...settlement }, tx);
  }

  /** What an account has, holds and may still use; undefined when there is no such account. */
  async balance(unit: Unit, owner: AccountOwner, tx?: Tx): Promise<AccountBalance | undefined> {
    return readBalance(tx ?? this.transactor.read, unit, owner);
  }

  /** The accounts at and below an owner, of all units, parents first. */
  async balances(below: AccountOwner, tx?: Tx): Promise<AccountBalance[]> {
    return readAccounts(tx ?? this.transactor.read, below);
  }

  async journal(query: JournalQuery, tx?: Tx): Promise<JournalLine[]> {
    return readJournal(tx ?? this.transactor.read, query);
  }

  private async one(command: LedgerCommand, tx: Tx | undefined): Promise<LedgerOutcome> {
    const [outcome] = await this.apply([command], tx);
    return present(outcome, 'the answer to a command');
  }
}
