import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { ballotTypeOf } from './charter.js';
import type { FrozenRound } from './frozen-round.js';

export type YesNo = 'yes' | 'no' | 'abstain';
export type FlagshipVotes = Readonly<Record<string, YesNo>> | undefined;
export type BallotContent =
  | { readonly kind: 'approval'; readonly approve: readonly string[]; readonly flagship?: FlagshipVotes }
  | {
      readonly kind: 'points';
      readonly points: Readonly<Record<string, number>>;
      readonly flagship?: FlagshipVotes;
    }
  | { readonly kind: 'ranking'; readonly ranking: readonly (readonly string[])[] }
  | { readonly kind: 'yes-no'; readonly votes: Readonly<Record<string, YesNo>> };

/** The option of a single-winner vote that stands for no proposal. */
export const noneOfThese = 'none';

export type BallotProblem = Problem<'governance.invalid-ballot'>;

/** Whether a ballot fits what was frozen; what is wrong is said with the id. */
export function checkBallot(
  frozen: FrozenRound,
  content: BallotContent,
): Result<BallotContent, BallotProblem> {
  const { charter } = frozen;
  const type = ballotTypeOf(charter);
  if (content.kind !== type) return refuse(`This round takes ${type} ballots, not ${content.kind}`);
  const known = new Set(frozen.proposals.map(({ proposalId }) => proposalId));
  const named = namedBy(content);
  const seen = new Set<string>();
  for (const id of named) {
    if (!known.has(id) && !(content.kind === 'ranking' && id === noneOfThese)) {
      return refuse(`${id} is not a proposal of this round`, { id });
    }
    if (seen.has(id)) return refuse(`${id} is named twice`, { id });
    seen.add(id);
  }
  if (content.kind === 'points') {
    const total = Object.values(content.points).reduce((sum, points) => sum + points, 0);
    if (total > charter.pointsPerVoter) {
      return refuse(`${total} points are more than the ${charter.pointsPerVoter} that each voter has`);
    }
  }
  return checkFlagship(frozen, content);
}

function namedBy(content: BallotContent): string[] {
  switch (content.kind) {
    case 'approval':
      return [...content.approve];
    case 'points':
      return Object.keys(content.points);
    case 'ranking':
      return content.ranking.flat();
    case 'yes-no':
      return Object.keys(content.votes);
  }
}

/** The votes on the flagship that a ballot carries; none when it does not. */
export function flagshipVotesOf(content: BallotContent): Readonly<Record<string, YesNo>> {
  return content.kind === 'approval' || content.kind === 'points' ? (content.flagship ?? {}) : {};
}

function checkFlagship(frozen: FrozenRound, content: BallotContent): Result<BallotContent, BallotProblem> {
  const votes = Object.keys(flagshipVotesOf(content));
  if (votes.length === 0) return ok(content);
  if (!frozen.charter.flagship) return refuse('This round decides no flagship');
  const candidates = new Set(frozen.proposals.filter((one) => one.flagship).map((one) => one.proposalId));
  const stranger = votes.find((id) => !candidates.has(id));
  return stranger === undefined
    ? ok(content)
    : refuse(`${stranger} does not stand as flagship`, { id: stranger });
}

function refuse(detail: string, facts?: Readonly<Record<string, unknown>>): Result<never, BallotProblem> {
  return err(problem('governance.invalid-ballot', detail, facts));
}
