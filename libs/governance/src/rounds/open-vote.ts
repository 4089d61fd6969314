import { randomBytes } from 'node:crypto';
import type { RoundView } from '@beamtime/contracts';
import { err, move, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { default as canonicalize } from 'canonicalize';
import { drawRoll, type ElectorateLab } from '../domain/draw-roll.js';
import type { FrozenPledge, FrozenProposal, FrozenRound, RollEntry } from '../domain/frozen-round.js';
import { roundLifecycle } from '../domain/round-lifecycle.js';
import { ELECTORATE, type Electorate } from '../ports.js';
import {
  appendRoundEvent,
  budgetsOf,
  charterOf,
  findRound,
  lockRound,
  type Refusal,
  type RoundRecord,
  viewOfRound,
} from '../postgres/rounds.js';
import { sha256 } from './sha256.js';

/** Bytes of the seed that breaks ties: nobody finds it from its hash. */
const seedBytes = 32;

/**
 * Freezes roll, weights, rule, budget and proposals, commits to the seed, and opens the vote; one transaction.
 */
@Injectable()
export class OpenVote {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(ELECTORATE) private readonly electorate: Electorate,
  ) {}

  async execute(actor: string, roundId: string, reason: string): Promise<Result<RoundView, Refusal>> {
    const labs = await this.electorate.labs();
    const seed = randomBytes(seedBytes).toString('hex');
    return this.transactor.run(async (tx) => {
      const found = await lockRound(tx, roundId);
      if (!found.ok) return found;
      const round = found.value;
      const legal = move(roundLifecycle, `The round ${roundId}`, round.state, 'voting');
      if (!legal.ok) return legal;
      if (round.state === 'proposing' && charterOf(round).deliberation) {
        return err(
          problem('state.illegal-transition', 'The charter asks for a deliberation before the vote'),
        );
      }
      const frozen = await this.freeze(tx, round, labs, seed);
      if (!frozen.ok) return frozen;
      await store(tx, frozen.value, seed);
      await appendRoundEvent(tx, { roundId, from: round.state, to: 'voting', actor, reason });
      const opened = await findRound(tx, roundId);
      return opened.ok ? ok(viewOfRound(opened.value)) : opened;
    });
  }

  private async freeze(
    tx: Tx,
    round: RoundRecord,
    labs: readonly ElectorateLab[],
    seed: string,
  ): Promise<Result<FrozenRound, Refusal>> {
    const charter = charterOf(round);
    const pledges = await pledgesOf(tx, round.id, charter.gpuTypes);
    const proposals = await proposalsOf(tx, round.id);
    const roll = drawRoll(charter, labs, pledges);
    if (proposals.length === 0) return err(nothing('No proposal is open'));
    if (!roll.some((entry) => entry.casters.length > 0)) {
      return err(nothing('Nobody may vote: no lab with a say has a delegate'));
    }
    const budgets = budgetsOf(round);
    const empty = budgets.find(({ gpuSeconds }) => gpuSeconds === 0);
    const spends = proposals.some((proposal) => proposal.kind === 'suite');
    if (spends && empty !== undefined) {
      return err(nothing(`Nothing is pledged of GPU type ${empty.gpuType}: there is no budget to share out`));
    }
    return ok({
      format: 'beamtime-frozen-round/1',
      roundId: round.id,
      title: round.title,
      frozenAt: new Date().toISOString(),
      charter,
      budgets,
      pledges,
      proposals,
      roll,
      seedCommitment: sha256(seed),
    });
  }
}

function nothing(why: string): Refusal {
  return problem('governance.nothing-to-vote-on', why);
}

/** Of the GPU types that the charter still knows. */
async function pledgesOf(tx: Tx, roundId: string, gpuTypes: readonly string[]): Promise<FrozenPledge[]> {
  const rows = await tx.rows<{ lab_id: string; gpu_type: string; gpu_seconds: string }>(
    `SELECT lab_id, gpu_type, gpu_seconds FROM governance.pledge
     WHERE round_id = $1 AND gpu_seconds > 0 AND gpu_type = ANY($2) ORDER BY lab_id, gpu_type`,
    [roundId, gpuTypes],
  );
  return rows.map((row) => ({
    labId: row.lab_id,
    gpuType: row.gpu_type,
    gpuSeconds: Number(row.gpu_seconds),
  }));
}

async function proposalsOf(tx: Tx, roundId: string): Promise<FrozenProposal[]> {
  return tx.rows<FrozenProposal>(
    `SELECT id AS "proposalId", version, kind, lab_id AS "labId", title, suite_id AS "suiteId",
       policy_id AS "policyId", gpu_type AS "gpuType", gpu_seconds::float8 AS "gpuSeconds",
       exclusive_group AS "exclusiveGroup", flagship, body
     FROM governance.proposal WHERE round_id = $1 AND state = 'open' ORDER BY id`,
    [roundId],
  );
}

async function store(tx: Tx, frozen: FrozenRound, seed: string): Promise<void> {
  const text = String(canonicalize(frozen));
  await tx.rows(
    `UPDATE governance.round SET state = 'voting', frozen = $2, frozen_sha256 = $3, frozen_at = $4, seed = $5,
       seed_commitment = $6, voters = $7 WHERE id = $1`,
    [frozen.roundId, text, sha256(text), frozen.frozenAt, seed, frozen.seedCommitment, frozen.roll.length],
  );
  await storeRoll(tx, frozen.roundId, frozen.roll);
}

async function storeRoll(tx: Tx, roundId: string, roll: readonly RollEntry[]): Promise<void> {
  await tx.rows(
    `INSERT INTO governance.roll_entry (round_id, voter_id, lab_id, label, weight, contribution, in_arrears)
     SELECT $1, e."voterId", e."labId", e.label, e.weight, e.contribution, e."inArrears"
     FROM jsonb_to_recordset($2::jsonb) AS e("voterId" text, "labId" text, label text, weight text,
       contribution bigint, "inArrears" boolean)`,
    [roundId, JSON.stringify(roll)],
  );
  const casters = roll.flatMap(({ voterId, casters }) => casters.map((caster) => ({ voterId, ...caster })));
  await tx.rows(
    `INSERT INTO governance.roll_caster (round_id, voter_id, person_id, capacity)
     SELECT $1, c."voterId", c."personId", c."as"
     FROM jsonb_to_recordset($2::jsonb) AS c("voterId" text, "personId" text, "as" text)`,
    [roundId, JSON.stringify(casters)],
  );
}
