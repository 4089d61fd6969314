import type { SuiteDesign } from '@beamtime/contracts';
import { policyRuleSchema, suiteDesignSchema } from '@beamtime/contracts';
import { invariant, present } from '@beamtime/kernel';
import { LOGGER, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import type { BallotContent } from '../domain/check-ballot.js';
import type { FrozenProposal, FrozenRound } from '../domain/frozen-round.js';
import { appendRoundEvent } from '../postgres/rounds.js';
import { countApart } from './count-apart.js';
import type { ClosedRound, CountedRound } from './count-closed-round.js';
import { facility } from './facility-actor.js';
import { sha256 } from './sha256.js';

/**
 * Counts every closed vote. Takes no input, may run twice and in two processes at once: what it reads can no longer
 * change, the count is deterministic, and the result is stored by whoever first finds the round still counting.
 */
@Injectable()
export class CountRounds implements OnApplicationShutdown {
  private readonly stopping = new AbortController();

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** Returns the ids of the rounds that it decided. */
  async execute(): Promise<string[]> {
    const waiting = await this.transactor.read.rows<{ id: string }>(
      `SELECT id FROM governance.round WHERE state = 'counting' ORDER BY id`,
    );
    const decided: string[] = [];
    for (const { id } of waiting) {
      try {
        const round = await this.load(id);
        const counted = await countApart(round, this.stopping.signal);
        if (await this.decide(round, counted)) decided.push(id);
      } catch (error) {
        if (this.stopping.signal.aborted) break;
        // One round that cannot be counted must not hold up the others; the next tick tries it again.
        this.log.error({ err: error, roundId: id }, 'a round could not be counted');
      }
    }
    return decided;
  }

  /** A count under way is given up; the next start begins it anew. */
  onApplicationShutdown(): void {
    this.stopping.abort();
  }

  private async load(roundId: string): Promise<ClosedRound> {
    const { read } = this.transactor;
    const row = await read.row<{ frozen: string; frozen_sha256: string; seed: string }>(
      'SELECT frozen, frozen_sha256, seed FROM governance.round WHERE id = $1',
      [roundId],
    );
    const { frozen, frozen_sha256, seed } = present(row, `round ${roundId}`);
    invariant(sha256(frozen) === frozen_sha256, `what was frozen of round ${roundId} has been altered`);
    const ballots = await read.rows<{ voterId: string; content: BallotContent }>(
      'SELECT voter_id AS "voterId", content FROM governance.ballot WHERE round_id = $1 ORDER BY voter_id',
      [roundId],
    );
    return {
      id: roundId,
      frozen: JSON.parse(frozen) as FrozenRound,
      frozenSha256: frozen_sha256,
      seed,
      ballots,
    };
  }

  /** Stores the result, adopts what won and says so to the other contexts, if the round still waits for it. */
  private async decide(round: ClosedRound, counted: CountedRound): Promise<boolean> {
    const { result, certificate, certificateSha256, report } = counted;
    return this.transactor.do(async (tx) => {
      const changed = await tx.changed(
        `UPDATE governance.round SET state = 'decided', decided_at = $2 WHERE id = $1 AND state = 'counting'`,
        [round.id, result.decidedAt],
      );
      if (changed === 0) return false;
      await tx.rows(
        `INSERT INTO governance.tally (round_id, result, certificate, certificate_sha256, report)
         VALUES ($1, $2, $3, $4, $5)`,
        [round.id, JSON.stringify(result), certificate, certificateSha256, report],
      );
      await appendRoundEvent(tx, {
        roundId: round.id,
        from: 'counting',
        to: 'decided',
        actor: facility,
        reason: result.summary,
      });
      await adopt(tx, round, counted);
      return true;
    });
  }
}

async function adopt(tx: Tx, round: ClosedRound, counted: CountedRound): Promise<void> {
  const { frozen, id: roundId } = round;
  const won = counted.result.winners.map(({ proposalId }) =>
    present(
      frozen.proposals.find((proposal) => proposal.proposalId === proposalId),
      `proposal ${proposalId}`,
    ),
  );
  await settleProposals(
    tx,
    frozen,
    won.map(({ proposalId }) => proposalId),
  );
  if (frozen.pledges.length > 0) await tx.record('round.funded', fundingOf(frozen));
  const adopted = won.flatMap(({ proposalId, suiteId, labId, title, gpuSeconds, body }) =>
    suiteId === null
      ? []
      : [{ proposalId, suiteId, labId, title, gpuSeconds: gpuSeconds ?? 0, design: designOf(body) }],
  );
  for (const suite of adopted) {
    await tx.rows(
      `INSERT INTO governance.adopted_suite (suite_id, round_id, proposal_id, lab_id, title, gpu_type, gpu_seconds,
         design, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'reserved')`,
      [
        suite.suiteId,
        roundId,
        suite.proposalId,
        suite.labId,
        suite.title,
        won.find(({ suiteId }) => suiteId === suite.suiteId)?.gpuType ?? 'any',
        suite.gpuSeconds,
        JSON.stringify(suite.design),
      ],
    );
  }
  await tx.record('round.decided', {
    roundId,
    certificateSha256: counted.certificateSha256,
    decidedAt: counted.result.decidedAt,
    adopted,
  });
  for (const proposal of won) if (proposal.policyId !== null) await adoptPolicy(tx, roundId, proposal);
}

async function settleProposals(tx: Tx, frozen: FrozenRound, won: readonly string[]): Promise<void> {
  await tx.rows(
    `UPDATE governance.proposal SET state = CASE WHEN id = ANY($2) THEN 'adopted' ELSE 'rejected' END
     WHERE round_id = $1 AND state = 'open'`,
    [frozen.roundId, won],
  );
}

function fundingOf(frozen: FrozenRound): {
  roundId: string;
  pledges: { labId: string; gpuSeconds: number }[];
  byGpuType: { labId: string; gpuType: string; gpuSeconds: number }[];
} {
  const byLab = new Map<string, number>();
  for (const { labId, gpuSeconds } of frozen.pledges) {
    byLab.set(labId, (byLab.get(labId) ?? 0) + gpuSeconds);
  }
  return {
    roundId: frozen.roundId,
    pledges: [...byLab].map(([labId, gpuSeconds]) => ({ labId, gpuSeconds })),
    byGpuType: frozen.pledges.map((pledge) => ({ ...pledge })),
  };
}

function designOf(body: unknown): SuiteDesign {
  return suiteDesignSchema.parse((body as { design?: unknown }).design);
}

async function adoptPolicy(tx: Tx, roundId: string, proposal: FrozenProposal): Promise<void> {
  const policyId = present(proposal.policyId, 'id of the policy');
  const body = proposal.body as { rule?: unknown; replaces?: readonly string[] };
  const rule = policyRuleSchema.parse(body.rule);
  await tx.rows(
    `INSERT INTO governance.policy (id, round_id, proposal_id, title, rule, state) VALUES ($1, $2, $3, $4, $5, 'in-force')`,
    [policyId, roundId, proposal.proposalId, proposal.title, JSON.stringify(rule)],
  );
  const replaced = await tx.rows<{ id: string }>(
    `UPDATE governance.policy SET state = 'replaced', ended_at = now() WHERE id = ANY($1) AND state = 'in-force'
     RETURNING id`,
    [body.replaces ?? []],
  );
  for (const { id } of replaced) await tx.record('policy.ended', { policyId: id, roundId });
  await tx.record('policy.adopted', { policyId, roundId, proposalId: proposal.proposalId, rule });
  await tx.audit({ actor: facility, action: 'policy.adopt', subject: policyId, details: { roundId, rule } });
}
