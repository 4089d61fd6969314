import {
  amendProposal,
  analyseProposal,
  commentOnProposal,
  createProposal,
  estimateSuite,
  getProposal,
  listComments,
  listProposalVersions,
  type ProposalBody,
  type ProposalView,
  type SuiteAnalysis,
  type SuiteDesignInput,
  withdrawProposal,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { allProposals, findLabId, findRoundId, handleOf, hoursText, readDocument } from './find-things.js';

const fileHelp = `
A suite (\`beamtime proposal estimate FILE\` shows what it would cost and answer):
  name: german-english
  title: German and English, two sizes
  factors:
    family: [gpt-neox]
    size:
      - { name: 160k, layers: 2, hiddenSize: 64, heads: 2 }
      - { name: 1m, layers: 4, hiddenSize: 128, heads: 4 }
    language:
      - { name: eng, language: eng, script: Latn, corpusId: cor_… }
      - { name: deu, language: deu, script: Latn, corpusId: cor_… }
    tokenizer: [{ name: bytes, kind: byte }]
    initialisationSeed: [1, 2]
    dataOrderSeed: [1]
    steps: [512]
  training: { contextTokens: 128, batchSize: 16, learningRate: 0.001 }

A policy, which access and gateway enforce once it is adopted:
  kind: policy
  rule: { kind: cap-units, unit: output_tokens, amount: 100000, windowHours: 24, per: lab, models: { weights: closed } }
        # or { kind: deny-scope, scope: gradients } · { kind: embargo, days: 365 } · { kind: require-reviews, scope: internals:read, recommendations: 2 }

A motion, for charter, membership and offices:
  kind: motion
  text: Lab D becomes a member.`;

const fileArgument = 'YAML or JSON: a suite design, or a document with `kind: policy` or `kind: motion`';

/** Proposals: make, read, amend, discuss, withdraw. */
export function registerProposalCommands(program: Command, io: CliIo): void {
  const proposal = program.command('proposal').description('suites, policies and motions before a round');
  registerMaking(proposal, io);
  registerReading(proposal, io);
  registerDiscussion(proposal, io);
}

/** A document that names its kind is a proposal body; anything else is taken for a suite design. */
export function bodyOf(document: unknown): ProposalBody {
  const kind = (document as { kind?: unknown } | null)?.kind;
  if (kind === 'suite' || kind === 'policy' || kind === 'motion') return document as ProposalBody;
  return { kind: 'suite', design: document } as ProposalBody;
}

function registerMaking(proposal: Command, io: CliIo): void {
  examples(
    proposal
      .command('create')
      .description('propose a suite, a policy or a motion for your lab')
      .addHelpText('after', fileHelp)
      .argument('<file>', fileArgument)
      .option('--round <round>', 'id of the round, or `latest`', 'latest')
      .option('--lab <lab>', 'short name or id; needed only if you belong to several')
      .option('--title <text>', "title; a suite has its design's otherwise")
      .option('--exclusive <group>', 'name shared by variants of which at most one can win')
      .option('--flagship', 'stand as flagship', false)
      .action(
        async (
          file: string,
          wish: { round: string; lab?: string; title?: string; exclusive?: string; flagship: boolean },
        ) => {
          const client = io.client();
          const body = bodyOf(readDocument(io, file));
          const made = await client.call(createProposal, {
            params: { roundId: await findRoundId(client, wish.round) },
            body: {
              labId: await findLabId(client, wish.lab),
              title: wish.title,
              body,
              exclusiveGroup: wish.exclusive,
              flagship: wish.flagship,
            },
          });
          io.show(made, () => describeProposal(made));
        },
      ),
    'proposal create suite.yaml',
    'proposal create suite-70m.yaml --exclusive spanish-suite --lab lab-b',
    'proposal create embargo.yaml --title "A year of embargo on gradients"',
  );

  examples(
    proposal
      .command('amend')
      .description('replace a proposal by a new version before the vote; older ones stay visible')
      .argument('<proposal>', 'id of the proposal')
      .argument('<file>', fileArgument)
      .requiredOption('--note <text>', 'what was changed and why')
      .option('--title <text>', 'new title')
      .option('--based-on <version>', 'refuse if somebody has amended it since this version')
      .action(
        async (
          proposalId: string,
          file: string,
          wish: { note: string; title?: string; basedOn?: string },
        ) => {
          const amended = await io.client().call(amendProposal, {
            params: { proposalId },
            body: {
              body: bodyOf(readDocument(io, file)),
              note: wish.note,
              title: wish.title,
              basedOnVersion: wish.basedOn === undefined ? undefined : Number(wish.basedOn),
            },
          });
          io.show(amended, () => describeProposal(amended));
        },
      ),
    'proposal amend prp_01ky0w3h5cqfzv8r4n2t6m9b7d suite.yaml --note "Three seeds instead of two"',
  );

  examples(
    proposal
      .command('withdraw')
      .description('withdraw a proposal before the vote')
      .argument('<proposal>', 'id of the proposal')
      .requiredOption('--reason <text>', 'why')
      .action(async (proposalId: string, { reason }: { reason: string }) => {
        const gone = await io.client().call(withdrawProposal, { params: { proposalId }, body: { reason } });
        io.show(gone, () => `${gone.title} is ${gone.state}`);
      }),
    'proposal withdraw prp_01ky0w3h5cqfzv8r4n2t6m9b7d --reason "Merged with the suite of lab-b"',
  );

  examples(
    proposal
      .command('estimate')
      .description('what a design would cost, answer and confound; nothing is stored')
      .argument('<file>', 'YAML or JSON with a suite design')
      .action(async (file: string) => {
        const design = readDocument(io, file) as SuiteDesignInput;
        const analysis = await io.client().call(estimateSuite, { body: { design } });
        io.show(analysis, () => describeAnalysis(analysis));
      }),
    'proposal estimate suite.yaml',
  );
}

function registerReading(proposal: Command, io: CliIo): void {
  examples(
    proposal
      .command('list')
      .description('the proposals of a round')
      .argument('[round]', 'id of the round, or `latest`', 'latest')
      .action(async (ref: string) => {
        const client = io.client();
        const items = await allProposals(client, await findRoundId(client, ref));
        io.show(items, () =>
          formatTable(
            ['name', 'title', 'kind', 'cost', 'state', 'version', 'id'],
            items.map((one) => [
              handleOf(one),
              one.title,
              one.kind,
              hoursText(one.gpuSeconds),
              one.state,
              one.version,
              one.proposalId,
            ]),
            'No proposals yet: beamtime proposal create suite.yaml',
          ),
        );
      }),
    'proposal list latest',
  );

  examples(
    proposal
      .command('show')
      .description('a proposal, and for a suite its cost, questions, confounded factors and holes filled')
      .argument('<proposal>', 'id of the proposal')
      .action(async (proposalId: string) => {
        const client = io.client();
        const shown = await client.call(getProposal, { params: { proposalId } });
        const analysis =
          shown.kind === 'suite' ? await client.call(analyseProposal, { params: { proposalId } }) : null;
        io.show({ ...shown, analysis }, () =>
          analysis === null
            ? `${describeProposal(shown)}\n\n${JSON.stringify(shown.body, null, 2)}`
            : `${describeProposal(shown)}\n\n${describeAnalysis(analysis)}`,
        );
      }),
    'proposal show prp_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );

  examples(
    proposal
      .command('history')
      .description('every version of a proposal, with who changed what and why')
      .argument('<proposal>', 'id of the proposal')
      .action(async (proposalId: string) => {
        const { versions } = await io.client().call(listProposalVersions, { params: { proposalId } });
        io.show(versions, () =>
          formatTable(
            ['version', 'when', 'title', 'cost', 'by', 'note'],
            versions.map((one) => [
              one.version,
              one.at.slice(0, 19).replace('T', ' '),
              one.title,
              hoursText(one.gpuSeconds),
              one.by,
              one.note,
            ]),
          ),
        );
      }),
    'proposal history prp_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );
}

function registerDiscussion(proposal: Command, io: CliIo): void {
  examples(
    proposal
      .command('comment')
      .description('comment on a proposal until the vote opens')
      .argument('<proposal>', 'id of the proposal')
      .argument('<text>', 'what you have to say')
      .option('--reply-to <comment>', 'number of the comment that you answer')
      .action(async (proposalId: string, text: string, { replyTo }: { replyTo?: string }) => {
        const comment = await io.client().call(commentOnProposal, {
          params: { proposalId },
          body: { text, inReplyTo: replyTo === undefined ? undefined : Number(replyTo) },
        });
        io.show(comment, () => `Comment ${comment.commentId} on version ${comment.version}`);
      }),
    'proposal comment prp_01ky0w3h5cqfzv8r4n2t6m9b7d "Why no third seed?"',
  );

  examples(
    proposal
      .command('comments')
      .description('the discussion of a proposal')
      .argument('<proposal>', 'id of the proposal')
      .action(async (proposalId: string) => {
        const { comments } = await io.client().call(listComments, { params: { proposalId } });
        io.show(comments, () =>
          formatTable(
            ['#', 'reply to', 'when', 'by', 'on version', 'comment'],
            comments.map((one) => [
              one.commentId,
              one.inReplyTo,
              one.at.slice(0, 16).replace('T', ' '),
              one.by,
              one.version,
              one.text,
            ]),
            'Nobody has commented yet',
          ),
        );
      }),
    'proposal comments prp_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );
}

function describeProposal(proposal: ProposalView): string {
  return formatFields({
    proposal: proposal.proposalId,
    title: proposal.title,
    kind: proposal.kind,
    state: proposal.state,
    version: proposal.version,
    lab: proposal.labId,
    ...(proposal.gpuSeconds === null
      ? {}
      : { cost: `${hoursText(proposal.gpuSeconds)} (${proposal.gpuType})` }),
    ...(proposal.suiteId === null ? {} : { 'suite, if adopted': proposal.suiteId }),
    ...(proposal.policyId === null ? {} : { 'policy, if adopted': proposal.policyId }),
  });
}

function describeAnalysis(analysis: SuiteAnalysis): string {
  const { utilisation } = analysis;
  return [
    formatFields({
      models: analysis.models,
      'GPU time': hoursText(analysis.gpuSeconds),
      'training FLOPs': analysis.trainingFlops.toExponential(2),
      checkpoints: analysis.checkpoints,
      storage: `${(analysis.checkpointBytes / 1e9).toPrecision(3)} GB`,
      utilisation: `${Math.round(utilisation.value * 100)} % (${utilisation.source})`,
    }),
    '',
    formatTable(
      ['question', 'pairs of models', 'for example'],
      analysis.questions.map((one) => [`effect of ${one.factor}`, one.pairs, one.example]),
      'No question: no two models differ in exactly one factor',
    ),
    '',
    formatTable(
      ['confounded', 'why'],
      analysis.confounded.map((one) => [one.factors.join(', '), one.why]),
      'Nothing is confounded',
    ),
    '',
    formatTable(
      ['language', 'architecture', 'parameters', 'in the catalogue', 'this adds', 'fills a hole'],
      analysis.landscape.map((one) => [
        one.language,
        one.family,
        one.parameters,
        one.existing,
        one.added,
        one.fillsHole,
      ]),
    ),
  ].join('\n');
}
