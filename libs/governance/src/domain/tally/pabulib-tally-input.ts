import type { PabulibElection, PabulibVoter } from './read-pabulib.js';
import type { TallyInput, TallyRule, TallyVoter } from './tally-input.js';

export interface PabulibReading {
  /** Read points and ranks as plain support, each worth 1. */
  readonly asApproval?: boolean;
}

/**
 * The election as a tally reads it. Approval and choose-1 ballots give each named project a score of 1; cumulative and
 * scoring ballots the points; ordinal ballots Borda points as the cities give them: the length of a full ballot for
 * the first place, one less for each place after it.
 */
export function pabulibTallyInput(
  election: PabulibElection,
  rule: TallyRule,
  seed: string,
  { asApproval = false }: PabulibReading = {},
): TallyInput {
  const title = election.meta.get('description');
  return {
    ...(title === undefined ? {} : { title }),
    budgets: [{ resource: election.meta.get('currency') || 'money', amount: election.budget }],
    projects: election.projects.map(({ id, name, cost }) => ({ id, name, costs: [cost] })),
    voters: asApproval ? election.voters.map(withoutPoints) : votersOf(election),
    rule,
    seed,
  };
}

function votersOf(election: PabulibElection): TallyVoter[] {
  return election.ballotType === 'ordinal' ? withBordaPoints(election) : election.voters.map(withPoints);
}

function withoutPoints({ id, ballot }: PabulibVoter): TallyVoter {
  return { id, ballot };
}

function withPoints(voter: PabulibVoter): TallyVoter {
  return voter.points ? { id: voter.id, ballot: voter.ballot, scores: voter.points } : voter;
}

function withBordaPoints(election: PabulibElection): TallyVoter[] {
  const longest = election.voters.reduce((length, { ballot }) => Math.max(length, ballot.length), 0);
  const declared = election.meta.get('max_length') ?? '';
  const places = /^\d{1,6}$/.test(declared) && declared !== '0' ? Number(declared) : longest;
  return election.voters.map(({ id, ballot }) => {
    const ranked = ballot.slice(0, places);
    return { id, ballot: ranked, scores: ranked.map((_, place) => String(places - place)) };
  });
}
