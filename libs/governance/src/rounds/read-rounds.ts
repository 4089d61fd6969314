import type { RoundView } from '@beamtime/contracts';
import { ok, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { RollEntry } from '../domain/frozen-round.js';
import type { RoundState } from '../domain/round-lifecycle.js';
import { findFrozen, findRound, pageOfRounds, type Refusal, viewOfRound } from '../postgres/rounds.js';

export interface RoundEventView {
  readonly from: RoundState | null;
  readonly to: RoundState;
  readonly actor: string;
  readonly reason: string;
  readonly at: string;
}

/** Reads rounds, their history, their roll and what was frozen. */
@Injectable()
export class ReadRounds {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async one(roundId: string): Promise<Result<RoundView, Refusal>> {
    const round = await findRound(this.transactor.read, roundId);
    return round.ok ? ok(viewOfRound(round.value)) : round;
  }

  async page(page: {
    limit: number;
    after?: string | undefined;
    state?: string | undefined;
  }): Promise<{ items: RoundView[]; next: string | null }> {
    const rows = await pageOfRounds(this.transactor.read, page);
    const next = rows.length < page.limit ? null : (rows.at(-1)?.id ?? null);
    return { items: rows.map(viewOfRound), next };
  }

  async events(roundId: string): Promise<Result<RoundEventView[], Refusal>> {
    const round = await findRound(this.transactor.read, roundId);
    if (!round.ok) return round;
    const rows = await this.transactor.read.rows<{
      from_state: RoundState | null;
      to_state: RoundState;
      actor: string;
      reason: string;
      at: Date;
    }>(
      'SELECT from_state, to_state, actor, reason, at FROM governance.round_event WHERE round_id = $1 ORDER BY id',
      [roundId],
    );
    return ok(
      rows.map(({ from_state, to_state, actor, reason, at }) => ({
        from: from_state,
        to: to_state,
        actor,
        reason,
        at: at.toISOString(),
      })),
    );
  }

  async roll(roundId: string): Promise<Result<Omit<RollEntry, 'casters'>[], Refusal>> {
    const found = await findFrozen(this.transactor.read, roundId);
    if (!found.ok) return found;
    return ok(found.value.frozen.roll.map(({ casters: _, ...entry }) => entry));
  }

  /** The very bytes whose SHA-256 the round shows. */
  async frozenText(roundId: string): Promise<Result<string, Refusal>> {
    const found = await findFrozen(this.transactor.read, roundId);
    return found.ok ? ok(found.value.text) : found;
  }
}
