import {
  amendCharter,
  type CharterInput,
  cancelRound,
  closeRound,
  createRound,
  deliberateRound,
  getRoll,
  getRound,
  listPledges,
  listRoundEvents,
  listRounds,
  openProposals,
  openVote,
  type RoundRule,
  type RoundView,
  roundStates,
} from '@beamtime/contracts';
import { type Command, Option } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { findRoundId, hoursText, readDocument } from './find-things.js';

const charterHelp = `
A charter (every line may be left out; these are the defaults but for the schedule):
  rule: { name: equal-shares, utility: cost, completion: add1u }
        # or { name: phragmen } · { name: greedy, threshold: 2 } · { name: schulze, quorum: 3 } · { name: double-majority }
  ballot: approval            # or points, with pointsPerVoter: 100
  voters: labs                # or members: everybody with one of memberRoles
  endowments: equal           # or contribution: a vote weighs what its lab pledged
  deputies: true              # a delegate may name who casts the lab's vote
  quorumBallots: 0            # with fewer ballots nothing is adopted
  deliberation: true
  gpuTypes: [any]             # one budget for each: [h100, a100]
  flagship: false             # decide one flagship by double majority first
  schedule: { openVoteAt: 2027-03-01T09:00:00Z, closeAt: 2027-03-14T18:00:00Z }`;

const roundArgument = 'id of the round, or `latest`';
const rules: readonly RoundRule['name'][] = [
  'equal-shares',
  'phragmen',
  'greedy',
  'schulze',
  'double-majority',
];

/** Plans rounds, moves them through their states, and shows them. */
export function registerRoundCommands(program: Command, io: CliIo): Command {
  const round = program.command('round').description('collective decisions: plan, open, vote, close, count');
  registerPlanning(round, io);
  registerMoves(round, io);
  registerViews(round, io);
  return round;
}

function registerPlanning(round: Command, io: CliIo): void {
  examples(
    round
      .command('create')
      .description('plan a round (secretariat)')
      .addHelpText('after', charterHelp)
      .argument('<title>', 'what is decided')
      .option('--charter <file>', 'YAML or JSON with rule, voters, ballot, quorum, schedule …')
      .addOption(
        new Option('--rule <name>', 'rule, when nothing else of the charter is to be said').choices(rules),
      )
      .option('--description <text>', 'for the page of the round', '')
      .action(
        async (title: string, wish: { charter?: string; rule?: RoundRule['name']; description: string }) => {
          const charter = charterOf(io, wish);
          const made = await io.client().call(createRound, {
            body: { title, description: wish.description, charter },
          });
          io.show(made, () => describeRound(made));
        },
      ),
    'round create "Suites of 2027"',
    'round create "Suites of 2027" --charter charter.yaml',
    'round create "Which tokenizer library?" --rule schulze',
  );

  examples(
    round
      .command('amend-charter')
      .description('replace the charter before the vote opens (secretariat)')
      .argument('<round>', roundArgument)
      .argument('<file>', 'YAML or JSON with the whole new charter')
      .requiredOption('--reason <text>', 'why')
      .action(async (ref: string, file: string, { reason }: { reason: string }) => {
        const client = io.client();
        const roundId = await findRoundId(client, ref);
        const charter = readDocument(io, file) as CharterInput;
        const amended = await client.call(amendCharter, { params: { roundId }, body: { charter, reason } });
        io.show(amended, () => describeRound(amended));
      }),
    'round amend-charter latest charter.yaml --reason "Two budgets after all"',
  );
}

function charterOf(io: CliIo, wish: { charter?: string; rule?: RoundRule['name'] }): CharterInput {
  const written = wish.charter === undefined ? {} : (readDocument(io, wish.charter) as CharterInput);
  return wish.rule === undefined ? written : { ...written, rule: { name: wish.rule } };
}

function registerMoves(round: Command, io: CliIo): void {
  const moves = [
    { name: 'open-proposals', endpoint: openProposals, says: 'accept proposals' },
    {
      name: 'deliberate',
      endpoint: deliberateRound,
      says: 'end the call for proposals, start the deliberation',
    },
    {
      name: 'open-vote',
      endpoint: openVote,
      says: 'freeze roll, weights, rule, budget and proposals, and open the vote',
    },
    { name: 'close', endpoint: closeRound, says: 'close the vote; the count follows by itself' },
  ] as const;
  for (const { name, endpoint, says } of moves) {
    examples(
      round
        .command(name)
        .description(`${says} (secretariat)`)
        .argument('<round>', roundArgument)
        .option('--reason <text>', 'why, for the history of the round', '')
        .action(async (ref: string, { reason }: { reason: string }) => {
          const client = io.client();
          const params = { roundId: await findRoundId(client, ref) };
          const moved = await client.call(endpoint, { params, body: { reason } });
          io.show(moved, () => describeRound(moved));
        }),
      `round ${name} latest`,
    );
  }
  examples(
    round
      .command('cancel')
      .description('cancel a round that is not counted yet; its ballots are never published (secretariat)')
      .argument('<round>', roundArgument)
      .requiredOption('--reason <text>', 'why')
      .action(async (ref: string, { reason }: { reason: string }) => {
        const client = io.client();
        const params = { roundId: await findRoundId(client, ref) };
        const moved = await client.call(cancelRound, { params, body: { reason } });
        io.show(moved, () => describeRound(moved));
      }),
    'round cancel latest --reason "Two labs withdrew their pledges"',
  );
}

function registerViews(round: Command, io: CliIo): void {
  examples(
    round
      .command('list')
      .description('list rounds, the newest first')
      .addOption(new Option('--state <state>', 'only rounds in this state').choices(roundStates))
      .option('--limit <n>', 'rows at most', '50')
      .action(async ({ state, limit }: { state?: RoundView['state']; limit: string }) => {
        const { items } = await io.client().call(listRounds, { query: { state, limit } });
        io.show(items, () =>
          formatTable(
            ['round', 'title', 'state', 'rule', 'proposals', 'budget'],
            items.map((one) => [
              one.roundId,
              one.title,
              one.state,
              one.charter.rule.name,
              one.proposalCount,
              budgetText(one),
            ]),
            'No rounds yet; the secretariat plans them: beamtime round create "First round"',
          ),
        );
      }),
    'round list --state voting',
  );

  examples(
    round
      .command('show')
      .description('show a round with its pledges and how it went')
      .argument('<round>', roundArgument)
      .action(async (ref: string) => {
        const client = io.client();
        const params = { roundId: await findRoundId(client, ref) };
        const shown = await client.call(getRound, { params });
        const { pledges } = await client.call(listPledges, { params });
        const { events } = await client.call(listRoundEvents, { params });
        io.show({ ...shown, pledges, events }, () =>
          [
            describeRound(shown),
            '',
            formatTable(
              ['lab', 'GPU type', 'pledged'],
              pledges.map((one) => [one.labId, one.gpuType, hoursText(one.gpuSeconds)]),
              'No pledges yet',
            ),
            '',
            formatTable(
              ['when', 'became', 'by', 'reason'],
              events.map((event) => [
                event.at.slice(0, 19).replace('T', ' '),
                event.to,
                event.actor,
                event.reason,
              ]),
            ),
          ].join('\n'),
        );
      }),
    'round show latest',
  );

  examples(
    round
      .command('roll')
      .description('who may vote and with which weight, as frozen when the vote opened')
      .argument('<round>', roundArgument)
      .action(async (ref: string) => {
        const client = io.client();
        const { roll } = await client.call(getRoll, { params: { roundId: await findRoundId(client, ref) } });
        io.show(roll, () =>
          formatTable(
            ['voter', 'name', 'weight', 'contribution', 'in arrears'],
            roll.map((one) => [one.voterId, one.label, one.weight, one.contribution, one.inArrears]),
          ),
        );
      }),
    'round roll latest',
  );
}

function budgetText(round: RoundView): string {
  return round.budgets
    .map(({ gpuType, gpuSeconds }) => (gpuType === 'any' ? '' : `${gpuType}: `) + hoursText(gpuSeconds))
    .join(', ');
}

export function describeRound(round: RoundView): string {
  return formatFields({
    round: round.roundId,
    title: round.title,
    state: round.state,
    rule: round.charter.rule.name,
    voters: round.charter.voters,
    budget: budgetText(round),
    proposals: round.proposalCount,
    ...(round.frozen === null
      ? {}
      : {
          'frozen at': round.frozen.at,
          'frozen sha256': round.frozen.sha256,
          'seed commitment': round.frozen.seedCommitment,
        }),
    ...(round.certificateSha256 === null ? {} : { 'certificate sha256': round.certificateSha256 }),
  });
}
