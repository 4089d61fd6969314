import {
  type BallotContent,
  type BallotView,
  castBallot,
  dismissDeputy,
  getMyBallots,
  listBallots,
  nameDeputy,
  type ProposalView,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { allProposals, findLabId, findRoundId, pickProposal } from './find-things.js';

const roundArgument = 'id of the round, or `latest`';

export interface VoteWish {
  readonly approve?: string;
  readonly points?: string;
  readonly rank?: string;
  readonly yes?: string;
  readonly no?: string;
  readonly abstain?: string;
  readonly flagshipYes?: string;
  readonly flagshipNo?: string;
  readonly for?: string;
}

/** Votes, ballots and deputies. */
export function registerBallotCommands(program: Command, io: CliIo): void {
  examples(
    program
      .command('vote')
      .description('cast a ballot, or change it: the last one before the close counts')
      .argument('<round>', roundArgument)
      .option('--approve <a,b>', 'approval ballot: the proposals you support')
      .option('--points <a=3,b=4>', 'points ballot')
      .option('--rank <a,b=c,none>', 'ranking: best first, `=` between equals, `none` for none of these')
      .option('--yes <a,b>', 'double majority: for')
      .option('--no <a,b>', 'double majority: against')
      .option('--abstain <a,b>', 'double majority: neither')
      .option('--flagship-yes <a,b>', 'where a flagship is decided first: for')
      .option('--flagship-no <a,b>', 'where a flagship is decided first: against')
      .option('--for <voter>', 'short name or id of the lab, or id of the person, for whom you vote')
      .action(async (ref: string, wish: VoteWish) => {
        const client = io.client();
        const roundId = await findRoundId(client, ref);
        const content = ballotOf(wish, await allProposals(client, roundId));
        const voterId = await voterOf(io, wish.for);
        const cast = await client.call(castBallot, { params: { roundId }, body: { content, voterId } });
        io.show(cast, () => cast.message);
      }),
    'vote latest --approve spanish-suite,seeds-suite',
    'vote latest --points spanish-suite=60,seeds-suite=40 --for lab-a',
    'vote latest --rank "charter-b,charter-a=none"',
    'vote latest --yes membership-of-lab-d',
  );

  examples(
    program
      .command('ballots')
      .description('all ballots of a closed vote; with --mine those that you may cast')
      .argument('<round>', roundArgument)
      .option('--mine', 'the votes in your hands, with what is in the box for them now', false)
      .action(async (ref: string, { mine }: { mine: boolean }) => {
        const client = io.client();
        const params = { roundId: await findRoundId(client, ref) };
        if (mine) {
          const { votes } = await client.call(getMyBallots, { params });
          io.show(votes, () =>
            formatTable(
              ['voter', 'name', 'ballot'],
              votes.map((one) => [
                one.voterId,
                one.label,
                one.ballot === null ? 'none yet' : ballotText(one.ballot.content),
              ]),
              'By the roll of this round you have no vote',
            ),
          );
          return;
        }
        const ballots: BallotView[] = [];
        let after: string | undefined;
        do {
          const page = await client.call(listBallots, { params, query: { limit: 500, after } });
          ballots.push(...page.items);
          after = page.next ?? undefined;
        } while (after !== undefined);
        io.show(ballots, () =>
          formatTable(
            ['voter', 'cast by', 'login', 'changes', 'ballot'],
            ballots.map((one) => [
              one.voterId,
              one.castBy,
              one.assurance,
              one.revision - 1,
              ballotText(one.content),
            ]),
            'Nobody voted',
          ),
        );
      }),
    'ballots latest',
    'ballots latest --mine',
  );
  registerDeputies(program, io);
}

function registerDeputies(program: Command, io: CliIo): void {
  const deputy = program.command('deputy').description('let somebody else cast your vote in a round');
  examples(
    deputy
      .command('name')
      .description('name who may cast your vote, or that of the lab whose delegate you are')
      .argument('<round>', roundArgument)
      .argument('<person>', 'id of the deputy (per_…)')
      .option(
        '--for <voter>',
        'lab or person whose vote it is; needed only if you are delegate of several labs',
      )
      .action(async (ref: string, deputyId: string, wish: { for?: string }) => {
        const client = io.client();
        const roundId = await findRoundId(client, ref);
        const voterId = (await voterOf(io, wish.for)) ?? (await findLabId(client, undefined, ['delegate']));
        const named = await client.call(nameDeputy, { params: { roundId }, body: { voterId, deputyId } });
        io.show(named, () => `${named.deputyId} may now cast the vote of ${named.voterId}`);
      }),
    'deputy name latest per_01ky0w3h5cqfzv8r4n2t6m9b7d --for lab-a',
  );
  examples(
    deputy
      .command('dismiss')
      .description('take the vote back; a ballot already cast stands until it is changed')
      .argument('<round>', roundArgument)
      .option('--for <voter>', 'lab or person whose vote it is')
      .action(async (ref: string, wish: { for?: string }) => {
        const client = io.client();
        const roundId = await findRoundId(client, ref);
        const voterId = (await voterOf(io, wish.for)) ?? (await findLabId(client, undefined, ['delegate']));
        const gone = await client.call(dismissDeputy, { params: { roundId, voterId } });
        io.show(gone, () => (gone.dismissed ? 'Dismissed' : 'There was no deputy'));
      }),
    'deputy dismiss latest --for lab-a',
  );
}

async function voterOf(io: CliIo, ref: string | undefined): Promise<string | undefined> {
  if (ref === undefined || ref.startsWith('per_')) return ref;
  return findLabId(io.client(), ref);
}

/** The ballot that the options spell out; names of suites, titles and ids may be used for proposals. */
export function ballotOf(wish: VoteWish, proposals: readonly ProposalView[]): BallotContent {
  const idOf = (ref: string): string => pickProposal(proposals, ref.trim()).proposalId;
  const flagship = votesOf({ yes: wish.flagshipYes, no: wish.flagshipNo }, idOf);
  const withFlagship = Object.keys(flagship).length === 0 ? {} : { flagship };
  const kinds = [wish.approve, wish.points, wish.rank, wish.yes ?? wish.no ?? wish.abstain].filter(
    (one) => one !== undefined,
  );
  if (kinds.length > 1)
    throw new UsageError('Use one of --approve, --points, --rank, or --yes/--no/--abstain');
  if (wish.approve !== undefined) {
    return { kind: 'approval', approve: listOf(wish.approve).map(idOf), ...withFlagship };
  }
  if (wish.points !== undefined) {
    const points = Object.fromEntries(listOf(wish.points).map((pair) => pointsOf(pair, idOf)));
    return { kind: 'points', points, ...withFlagship };
  }
  if (wish.rank !== undefined) {
    const ranking = listOf(wish.rank).map((tier) =>
      tier.split('=').map((one) => (one.trim() === 'none' ? 'none' : idOf(one))),
    );
    return { kind: 'ranking', ranking };
  }
  if (kinds.length === 1) {
    return { kind: 'yes-no', votes: votesOf({ yes: wish.yes, no: wish.no, abstain: wish.abstain }, idOf) };
  }
  throw new UsageError('Say how you vote: --approve, --points, --rank, or --yes/--no/--abstain');
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

function pointsOf(pair: string, idOf: (ref: string) => string): [string, number] {
  const cut = pair.lastIndexOf('=');
  const points = Number(pair.slice(cut + 1));
  if (cut < 1 || !Number.isInteger(points) || points < 0) {
    throw new UsageError(`${pair} gives no points; write name=3`);
  }
  return [idOf(pair.slice(0, cut)), points];
}

function votesOf(
  lists: { yes?: string | undefined; no?: string | undefined; abstain?: string | undefined },
  idOf: (ref: string) => string,
): Record<string, 'yes' | 'no' | 'abstain'> {
  const votes: Record<string, 'yes' | 'no' | 'abstain'> = {};
  for (const vote of ['yes', 'no', 'abstain'] as const) {
    for (const ref of listOf(lists[vote] ?? '')) {
      const id = idOf(ref);
      if (votes[id] !== undefined) throw new UsageError(`${ref} is named twice`);
      votes[id] = vote;
    }
  }
  return votes;
}

function ballotText(content: BallotContent): string {
  switch (content.kind) {
    case 'approval':
      return content.approve.join(', ') || 'nothing';
    case 'points':
      return Object.entries(content.points)
        .map(([id, points]) => `${id}=${points}`)
        .join(', ');
    case 'ranking':
      return content.ranking.map((tier) => tier.join(' = ')).join(' > ');
    case 'yes-no':
      return Object.entries(content.votes)
        .map(([id, vote]) => `${id}: ${vote}`)
        .join(', ');
  }
}
