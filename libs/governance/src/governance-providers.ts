import type { Provider } from '@nestjs/common';
import { CastBallot } from './ballots/cast-ballot.js';
import { NameDeputy } from './ballots/name-deputy.js';
import { ReadBallots } from './ballots/read-ballots.js';
import { AdoptedSuites } from './decisions/adopted-suites.js';
import { ReadPolicies } from './decisions/read-policies.js';
import { PledgeGpuTime } from './pledges/pledge-gpu-time.js';
import { AmendProposal } from './proposals/amend-proposal.js';
import { AnalyseSuite } from './proposals/analyse-suite.js';
import { CommentOnProposal } from './proposals/comment-on-proposal.js';
import { CreateProposal } from './proposals/create-proposal.js';
import { ReadProposals } from './proposals/read-proposals.js';
import { ReadResults } from './results/read-results.js';
import { AmendCharter } from './rounds/amend-charter.js';
import { CountRounds } from './rounds/count-rounds.js';
import { CreateRound } from './rounds/create-round.js';
import { FollowSchedule } from './rounds/follow-schedule.js';
import { MoveRound } from './rounds/move-round.js';
import { OpenVote } from './rounds/open-vote.js';
import { ReadRounds } from './rounds/read-rounds.js';
import { RoundsReconciler } from './rounds/rounds-reconciler.js';

/** Every use case of the context. The app adds its ports: ELECTORATE, LANDSCAPE and MEASURED_UTILISATION. */
export const governanceProviders: Provider[] = [
  AdoptedSuites,
  AmendCharter,
  AmendProposal,
  AnalyseSuite,
  CastBallot,
  CommentOnProposal,
  CountRounds,
  CreateProposal,
  CreateRound,
  FollowSchedule,
  MoveRound,
  NameDeputy,
  OpenVote,
  PledgeGpuTime,
  ReadBallots,
  ReadPolicies,
  ReadProposals,
  ReadResults,
  ReadRounds,
  RoundsReconciler,
];
