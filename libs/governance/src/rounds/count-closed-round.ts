import type { RoundResult } from '@beamtime/contracts';
import { present } from '@beamtime/kernel';
import { default as canonicalize } from 'canonicalize';
import type { CountedBallot } from '../domain/count-outcome.js';
import { type CountOutcome, countRound } from '../domain/count-round.js';
import type { FrozenProposal, FrozenRound } from '../domain/frozen-round.js';
import { renderRound } from '../results/render-round.js';
import { sha256 } from './sha256.js';

/** A round whose vote is over: nothing of it can change any more. */
export interface ClosedRound {
  readonly id: string;
  readonly frozen: FrozenRound;
  readonly frozenSha256: string;
  readonly seed: string;
  readonly ballots: readonly CountedBallot[];
}

/** All that a count publishes, as it is stored. */
export interface CountedRound {
  readonly result: RoundResult;
  /** The certificate in canonical JSON (RFC 8785); null where there was nothing to count. */
  readonly certificate: string | null;
  /** Of the certificate's bytes; of no bytes, where there is none. */
  readonly certificateSha256: string;
  /** The page about the result, kept with it, so that reading it costs no count. */
  readonly report: string;
}

/** Counts a closed round and writes its documents. The same round at the same instant gives the same bytes. */
export function countClosedRound(round: ClosedRound, decidedAt: Date): CountedRound {
  const outcome = countRound(round.frozen, round.ballots, round.seed);
  const certificate = outcome.certificate === null ? null : String(canonicalize(outcome.certificate));
  const certificateSha256 = sha256(certificate ?? '');
  const result = resultOf(round, outcome, decidedAt, certificate === null ? null : certificateSha256);
  const labels = new Map(round.frozen.roll.map(({ voterId, label }) => [voterId, label]));
  return { result, certificate, certificateSha256, report: renderRound(result, labels, outcome.shared) };
}

function resultOf(
  round: ClosedRound,
  outcome: CountOutcome,
  decidedAt: Date,
  certificateSha256: string | null,
): RoundResult {
  const { frozen } = round;
  const proposals = new Map(frozen.proposals.map((proposal) => [proposal.proposalId, proposal]));
  const proposalOf = (id: string): FrozenProposal => present(proposals.get(id), `proposal ${id}`);
  return {
    roundId: round.id,
    title: frozen.title,
    decidedAt: decidedAt.toISOString(),
    rule: frozen.charter.rule,
    outcome: outcome.outcome,
    summary: outcome.summary,
    turnout: outcome.turnout,
    budgets: [...outcome.budgets],
    winners: outcome.winners.map((winner) => {
      const { kind, title, labId, suiteId, policyId, gpuType, gpuSeconds } = proposalOf(winner.proposalId);
      return { ...winner, kind, title, labId, suiteId, policyId, gpuType, gpuSeconds };
    }),
    losers: outcome.losers.map((loser) => {
      const { kind, title } = proposalOf(loser.proposalId);
      return { ...loser, kind, title };
    }),
    ties: outcome.ties.map((tie) => ({ ...tie, tied: [...tie.tied] })),
    alternatives: outcome.alternatives.map(({ rule, winners }) => ({ rule, winners: [...winners] })),
    seed: round.seed,
    seedCommitment: frozen.seedCommitment,
    frozenSha256: round.frozenSha256,
    certificateSha256,
  };
}
