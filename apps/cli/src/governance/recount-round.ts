import { createHash } from 'node:crypto';
import {
  type ApiClient,
  type BallotView,
  getCertificate,
  getFrozen,
  getResult,
  getRound,
  listBallots,
  type RoundResult,
} from '@beamtime/contracts';
import { type CountOutcome, countRound, type FrozenRound } from '@beamtime/governance/tally';
import { default as canonicalize } from 'canonicalize';

export interface Recount {
  readonly summary: string;
  readonly checks: readonly string[];
  /** Empty when everything agrees. */
  readonly differences: readonly string[];
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Counts a round again from what was frozen, the published ballots and the seed, without trusting the facility's count. */
export async function recountRound(client: ApiClient, roundId: string): Promise<Recount> {
  const params = { roundId };
  const round = await client.call(getRound, { params });
  const result = await client.call(getResult, { params });
  const frozenText = await (await client.raw(getFrozen, { params })).text();
  const frozen = JSON.parse(frozenText) as FrozenRound;
  const ballots = await allBallots(client, roundId);
  const outcome = countRound(frozen, ballots, result.seed);
  const differences = compare(result, outcome);
  const check = (agrees: boolean, what: string): void => {
    if (!agrees) differences.push(what);
  };
  check(sha256(frozenText) === round.frozen?.sha256, 'what was frozen is not what its hash promised');
  check(sha256(result.seed) === round.frozen?.seedCommitment, 'the seed is not the one committed to');
  if (outcome.certificate !== null) {
    const certificate = await (await client.raw(getCertificate, { params })).text();
    check(certificate === canonicalize(outcome.certificate), 'the certificate is another');
    check(
      sha256(certificate) === result.certificateSha256,
      'the certificate is not the one that was announced',
    );
  }
  const checks = [
    `${ballots.length} ballots counted under ${frozen.charter.rule.name}`,
    'Frozen text, seed and certificate have the hashes that were published',
  ];
  return { summary: outcome.summary, checks, differences };
}

function compare(result: RoundResult, outcome: CountOutcome): string[] {
  const differences: string[] = [];
  const ids = (list: readonly { proposalId: string }[]): string =>
    list.map((one) => one.proposalId).join(', ');
  if (ids(result.winners) !== ids(outcome.winners)) {
    differences.push(`published winners ${ids(result.winners)}, counted ${ids(outcome.winners)}`);
  }
  if (ids(result.losers) !== ids(outcome.losers)) differences.push('other losers');
  if (result.turnout.ballots !== outcome.turnout.ballots) {
    differences.push(`${result.turnout.ballots} ballots announced, ${outcome.turnout.ballots} published`);
  }
  return differences;
}

async function allBallots(client: ApiClient, roundId: string): Promise<BallotView[]> {
  const ballots: BallotView[] = [];
  let after: string | undefined;
  do {
    const page = await client.call(listBallots, { params: { roundId }, query: { limit: 500, after } });
    ballots.push(...page.items);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return ballots;
}
