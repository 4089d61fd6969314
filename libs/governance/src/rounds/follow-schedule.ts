import { LOGGER, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { facility } from './facility-actor.js';
import { MoveRound, type SimpleMove } from './move-round.js';
import { OpenVote } from './open-vote.js';

/** What is due, from the database's clock: the latest step of a round whose time has come. */
const dueSql = `SELECT id, CASE
    WHEN state = 'planned' AND open_proposals_at <= now() THEN 'proposing'
    WHEN state = 'proposing' AND deliberate_at <= now() AND (charter->>'deliberation')::boolean THEN 'deliberating'
    WHEN (state = 'deliberating' OR (state = 'proposing' AND NOT (charter->>'deliberation')::boolean))
      AND open_vote_at <= now() THEN 'voting'
    WHEN state = 'voting' AND close_at <= now() THEN 'counting'
  END AS next
  FROM governance.round WHERE state IN ('planned', 'proposing', 'deliberating', 'voting') ORDER BY id`;

/** Moves rounds on when their charter's time has come. Takes no input; a person may have been faster. */
@Injectable()
export class FollowSchedule {
  /** Rounds that cannot move on, with what was last said about it: once is enough. */
  private readonly said = new Map<string, string>();

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(MoveRound) private readonly moveRound: MoveRound,
    @Inject(OpenVote) private readonly openVote: OpenVote,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  async execute(): Promise<void> {
    const rows = await this.transactor.read.rows<{ id: string; next: SimpleMove | 'voting' | null }>(dueSql);
    for (const { id, next } of rows) {
      if (next === null) continue;
      const reason = 'By the schedule of the charter';
      const moved =
        next === 'voting'
          ? await this.openVote.execute(facility, id, reason)
          : await this.moveRound.execute(facility, id, next, reason);
      if (moved.ok) {
        this.said.delete(id);
      } else if (this.said.get(id) !== moved.error.detail) {
        this.said.set(id, moved.error.detail);
        this.log.warn({ roundId: id, next, problem: moved.error }, 'a round could not follow its schedule');
      }
    }
  }
}
