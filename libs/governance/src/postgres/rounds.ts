import { type Charter, charterSchema, type ProblemCode, type RoundView } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { FrozenRound } from '../domain/frozen-round.js';
import type { RoundState } from '../domain/round-lifecycle.js';

export type Refusal = Problem<ProblemCode>;

/** A round as the database has it, with its budgets. */
export interface RoundRecord {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly state: RoundState;
  readonly charter: unknown;
  readonly created_by: string;
  readonly created_at: Date;
  readonly frozen_sha256: string | null;
  readonly frozen_at: Date | null;
  readonly seed_commitment: string | null;
  readonly voters: number | null;
  readonly decided_at: Date | null;
  readonly proposal_count: number;
  readonly certificate_sha256: string | null;
  readonly budgets: readonly { gpuType: string; gpuSeconds: number }[];
}

/** Without the seed, which stays secret until the count, and the frozen text, which is long. */
const roundColumns = `r.id, r.title, r.description, r.state, r.charter, r.created_by, r.created_at, r.frozen_sha256,
  r.frozen_at, r.seed_commitment, r.voters, r.decided_at, t.certificate_sha256,
  (SELECT count(*)::int FROM governance.proposal p WHERE p.round_id = r.id AND p.state <> 'withdrawn') AS proposal_count,
  COALESCE((SELECT jsonb_agg(jsonb_build_object('gpuType', b.gpu_type, 'gpuSeconds', b.gpu_seconds) ORDER BY b.gpu_type)
    FROM (SELECT gpu_type, sum(gpu_seconds) AS gpu_seconds FROM governance.pledge WHERE round_id = r.id GROUP BY gpu_type) b),
    '[]'::jsonb) AS budgets`;
const roundTables = 'governance.round r LEFT JOIN governance.tally t ON t.round_id = r.id';

export function noSuchRound(roundId: string): Refusal {
  return problem('resource.not-found', `There is no round ${roundId}`);
}

export async function findRound(tx: Tx, roundId: string): Promise<Result<RoundRecord, Refusal>> {
  const row = await tx.row<RoundRecord>(`SELECT ${roundColumns} FROM ${roundTables} WHERE r.id = $1`, [
    roundId,
  ]);
  return row === undefined ? err(noSuchRound(roundId)) : ok(row);
}

/**
 * Holds the round until the transaction ends. Ballots, pledges and proposals hold it shared while they are written,
 * so whoever moves a round waits for them, and those that come later see the new state.
 */
export async function lockRound(tx: Tx, roundId: string): Promise<Result<RoundRecord, Refusal>> {
  await tx.rows('SELECT id FROM governance.round WHERE id = $1 FOR UPDATE', [roundId]);
  return findRound(tx, roundId);
}

/** The newest first; ids sort by time. */
export async function pageOfRounds(
  tx: Tx,
  page: { limit: number; after?: string | undefined; state?: string | undefined },
): Promise<RoundRecord[]> {
  return tx.rows<RoundRecord>(
    `SELECT ${roundColumns} FROM ${roundTables}
     WHERE ($1::text IS NULL OR r.id < $1) AND ($2::text IS NULL OR r.state = $2) ORDER BY r.id DESC LIMIT $3`,
    [page.after ?? null, page.state ?? null, page.limit],
  );
}

export function charterOf(round: Pick<RoundRecord, 'charter'>): Charter {
  return charterSchema.parse(round.charter);
}

/** What each GPU type of the charter has: what is pledged so far, or nothing yet. */
export function budgetsOf(round: RoundRecord): { gpuType: string; gpuSeconds: number }[] {
  return charterOf(round).gpuTypes.map((gpuType) => ({
    gpuType,
    gpuSeconds: round.budgets.find((budget) => budget.gpuType === gpuType)?.gpuSeconds ?? 0,
  }));
}

export function viewOfRound(round: RoundRecord): RoundView {
  const { frozen_at, frozen_sha256, seed_commitment } = round;
  return {
    roundId: round.id,
    title: round.title,
    description: round.description,
    state: round.state,
    charter: charterOf(round),
    budgets: budgetsOf(round),
    proposalCount: round.proposal_count,
    createdAt: round.created_at.toISOString(),
    createdBy: round.created_by,
    frozen:
      frozen_at === null || frozen_sha256 === null || seed_commitment === null
        ? null
        : {
            at: frozen_at.toISOString(),
            sha256: frozen_sha256,
            seedCommitment: seed_commitment,
            voters: round.voters ?? 0,
          },
    decidedAt: round.decided_at?.toISOString() ?? null,
    certificateSha256: round.certificate_sha256,
  };
}

export async function appendRoundEvent(
  tx: Tx,
  event: { roundId: string; from: RoundState | null; to: RoundState; actor: string; reason: string },
): Promise<void> {
  await tx.rows(
    'INSERT INTO governance.round_event (round_id, from_state, to_state, actor, reason) VALUES ($1, $2, $3, $4, $5)',
    [event.roundId, event.from, event.to, event.actor, event.reason],
  );
  await tx.audit({
    actor: event.actor,
    action: `round.${event.to}`,
    subject: event.roundId,
    details: { from: event.from, to: event.to },
  });
}

/** What was frozen when the vote opened, and nothing before. */
export async function findFrozen(
  tx: Tx,
  roundId: string,
): Promise<Result<{ frozen: FrozenRound; text: string; state: RoundState }, Refusal>> {
  const row = await tx.row<{ frozen: string | null; state: RoundState }>(
    'SELECT frozen, state FROM governance.round WHERE id = $1',
    [roundId],
  );
  if (row === undefined) return err(noSuchRound(roundId));
  if (row.frozen === null) {
    return err(
      problem('governance.round-not-open', `The round is ${row.state}: its vote has not been opened yet`, {
        state: row.state,
      }),
    );
  }
  return ok({ frozen: JSON.parse(row.frozen) as FrozenRound, text: row.frozen, state: row.state });
}

/** Why something that asks for certain states changed nothing. */
export async function refusalByState(
  tx: Tx,
  roundId: string,
  what: string,
  states: readonly RoundState[],
): Promise<Refusal> {
  const row = await tx.row<{ state: RoundState }>('SELECT state FROM governance.round WHERE id = $1', [
    roundId,
  ]);
  if (row === undefined) return noSuchRound(roundId);
  return problem(
    'governance.round-not-open',
    `${what} is possible while a round is ${states.join(' or ')}; this one is ${row.state}`,
    { state: row.state },
  );
}
