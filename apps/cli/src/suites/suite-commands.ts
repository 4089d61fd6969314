import {
  createSuite,
  evaluateSuite,
  listSuites,
  type ResponseOf,
  type SuitePlan,
  showLab,
  showSuite,
  trainSuite,
} from '@beamtime/contracts';
import { planSuite } from '@beamtime/suites';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { type EvaluationOptions, evaluationOf, evaluationOptions } from '../scheduling/evaluation-options.js';
import { formatQuantity, formatSeconds } from './format-quantity.js';
import { measurePremiums } from './measure-premiums.js';
import { readSuiteFile } from './read-suite-file.js';
import { type LocalOptions, type LocalResult, trainLocally } from './train-locally.js';

/** Cells that are listed to a person; --json has all. */
const cellsShown = 24;

export function registerSuiteCommands(program: Command, io: CliIo): void {
  const suite = program.command('suite').description('controlled suites of models: plan, list, train');

  examples(
    suite
      .command('plan')
      .description('what a suite file would train, cost and be able to answer; needs no facility')
      .argument('<file>', 'suite file, YAML or JSON')
      .action((file: string) => {
        const plan = planSuite(readSuiteFile(file));
        if (!plan.ok) throw new UsageError(plan.error.detail);
        io.show(plan.value, () => describePlan(plan.value));
      }),
    'suite plan examples/size-by-seed.yaml',
    'suite plan examples/size-by-seed.yaml --json | jq .gpuHours',
  );

  examples(
    suite
      .command('premiums')
      .description(
        "byte premiums of a suite's languages, measured on their own texts, which must say the same (parallel text)",
      )
      .argument('<file>', 'suite file, YAML or JSON')
      .requiredOption('--reference <level>', 'the language level that counts as 1')
      .option('--corpora <folder>', 'texts, as <corpusId>.txt; built-in texts need none')
      .action((file: string, options: { reference: string; corpora?: string }) => {
        const premiums = measurePremiums(readSuiteFile(file), options.reference, options.corpora);
        io.show(premiums, () =>
          [
            formatTable(
              ['language', 'bytes', 'bytePremium'],
              premiums.map((one) => [one.language, one.bytes, one.bytePremium.toFixed(4)]),
            ),
            '',
            'Write bytePremium beside each language, and tokenBudget: byte-premium under training.',
          ].join('\n'),
        );
      }),
    'suite premiums examples/language-by-size.yaml --reference deu',
  );

  examples(
    suite
      .command('list')
      .description('suites that were adopted or entered')
      .option('--round <round>', 'only those of this round')
      .action(async ({ round }: { round?: string }) => {
        const { items } = await io.client().call(listSuites, { query: { roundId: round } });
        io.show(items, () =>
          formatTable(
            ['suite', 'state', 'models', 'GPU-seconds used', 'reserved', 'id'],
            items.map((one) => [
              one.name,
              one.state,
              countOf(one.models),
              one.gpuSecondsUsed,
              one.gpuSecondsReserved,
              one.suiteId,
            ]),
            'No suites yet; a round adopts them, or the secretariat enters one: beamtime suite enter FILE',
          ),
        );
      }),
    'suite list',
  );

  examples(
    suite
      .command('show')
      .description('one suite with its models')
      .argument('<suite>', 'its id')
      .action(async (suiteId: string) => {
        const found = await io.client().call(showSuite, { params: { suiteId } });
        io.show(found, () =>
          [
            formatFields({
              suite: found.name,
              title: found.title,
              state: found.state,
              id: found.suiteId,
              round: found.roundId,
              proposal: found.proposalId,
              'GPU-seconds used': found.gpuSecondsUsed,
              'GPU-seconds reserved': found.gpuSecondsReserved,
            }),
            '',
            formatTable(
              ['model', 'state', 'revisions', 'id'],
              found.members.map((one) => [one.name, one.state, one.revisions, one.modelId]),
            ),
          ].join('\n'),
        );
      }),
    'suite show sui_01k…',
  );

  examples(
    suite
      .command('enter')
      .description('enter a suite that no round decided on (secretariat)')
      .argument('<file>', 'suite file, YAML or JSON')
      .option('--lab <lab>', 'the lab that it is for: short name or id')
      .action(async (file: string, { lab }: { lab?: string }) => {
        const design = readSuiteFile(file);
        const client = io.client();
        const labId = lab === undefined ? undefined : (await client.call(showLab, { params: { lab } })).labId;
        const entered = await client.call(createSuite, { body: { design, labId } });
        io.show(
          entered,
          () => `Entered ${entered.name} with ${countOf(entered.models)} models: ${entered.suiteId}`,
        );
      }),
    'suite enter examples/size-by-seed.yaml',
  );

  examples(
    suite
      .command('train')
      .description(
        'submit the training jobs of an adopted suite, or train a suite file here; again is harmless',
      )
      .argument('<suite>', 'its id; with --local, a suite file')
      .option('--local', 'train on this machine, with the same runner and no facility')
      .option('--out <folder>', 'with --local: where to; by default a folder named as the suite')
      .option('--corpora <folder>', 'with --local: texts, as <corpusId>.txt or <corpusId>.jsonl')
      .option('--threads <n>', 'CPU threads of each run; part of the bits of the result', Number, 1)
      .action(async (suite: string, options: LocalOptions & { local?: boolean }) => {
        if (options.local === true) {
          const results = await trainLocally(io, readSuiteFile(suite), options);
          io.show(results, () => describeResults(results));
          return;
        }
        await submitTraining(io, suite, options.threads);
      }),
    'suite train sui_01k…',
    'suite train examples/size-by-seed.yaml --local',
  );

  examples(
    evaluationOptions(
      suite
        .command('evaluate')
        .description(
          'submit one job for each model of a suite that evaluates all its revisions; models that are still to be trained wait for that',
        )
        .argument('<suite>', 'its id'),
    )
      .option('--key <text>', 'the same key again finds the same jobs instead of others')
      .action(async (suiteId: string, options: EvaluationOptions & { key?: string }) => {
        const made = await io.client().call(evaluateSuite, {
          params: { suiteId },
          body: {
            ...evaluationOf(options),
            ...(options.key === undefined ? {} : { requestKey: options.key }),
          },
        });
        io.show(made, () => describeSubmitted(made.jobs, made.leftOut));
      }),
    'suite evaluate sui_01k… --held-out cor_01ky0w3h5cqfzv8r4n2t6m9b7d:deu:Latn',
    'suite evaluate sui_01k… --minimal-pairs cor_01ky0w3h5cqfzv8r4n2t6m9b7d:eng:Latn --key first-study',
  );
}

async function submitTraining(io: CliIo, suiteId: string, threads: number): Promise<void> {
  const { jobs } = await io.client().call(trainSuite, { params: { suiteId }, body: { threads } });
  if (jobs.length === 0) throw new CheckFailed(`All models of ${suiteId} are trained already`);
  io.show(jobs, () => describeSubmitted(jobs));
}

function describeSubmitted(
  jobs: ResponseOf<typeof trainSuite>['jobs'],
  leftOut: ResponseOf<typeof evaluateSuite>['leftOut'] = [],
): string {
  const created = jobs.filter((job) => job.created).length;
  return [
    `${created} jobs submitted${created < jobs.length ? `, ${jobs.length - created} were there before` : ''}.`,
    formatTable(
      ['job', 'model', 'new'],
      jobs.map((job) => [job.jobId, job.modelId, job.created]),
    ),
    ...leftOut.map((one) => `left out: ${one.reason}`),
  ].join('\n');
}

function describeResults(results: readonly LocalResult[]): string {
  return formatTable(
    ['model', 'parameters', 'steps', 'loss', 'tokens/s', 'seconds', 'weights sha256'],
    results.map((one) => [
      one.model,
      one.parameters,
      one.step,
      one.loss?.toFixed(3),
      one.tokensPerSecond === null ? null : Math.round(one.tokensPerSecond),
      Math.round(one.wallSeconds),
      one.weightsSha256?.slice(0, 16),
    ]),
  );
}

function countOf(models: Readonly<Record<string, number>>): number {
  return Object.values(models).reduce((sum, count) => sum + count, 0);
}

export function describePlan(plan: SuitePlan): string {
  const totals = formatFields({
    suite: plan.name,
    models: plan.models,
    tokens: formatQuantity(plan.tokens),
    FLOPs: formatQuantity(plan.flops),
    'GPU-hours':
      plan.gpuHours < 10 ? plan.gpuHours.toFixed(2) : Math.round(plan.gpuHours).toLocaleString('en'),
    'longest model': formatSeconds(plan.longestWallSeconds),
    revisions: plan.checkpoints,
    storage: `${formatQuantity(plan.storageBytes)}B`,
    ...(plan.bytePremiums === undefined
      ? {}
      : {
          'steps scaled by byte premium': Object.entries(plan.bytePremiums)
            .map(([language, premium]) => `${language} × ${premium}`)
            .join(', '),
        }),
  });
  const cells = formatTable(
    ['model', 'parameters', 'without embeddings', 'tokens', 'FLOPs', 'time', 'revisions'],
    plan.cells
      .slice(0, cellsShown)
      .map((cell) => [
        cell.name,
        formatQuantity(cell.parameters),
        formatQuantity(cell.parametersWithoutEmbeddings),
        formatQuantity(cell.tokens),
        formatQuantity(cell.flops),
        formatSeconds(cell.wallSeconds),
        cell.checkpoints,
      ]),
  );
  const more =
    plan.cells.length > cellsShown
      ? [`… and ${plan.cells.length - cellsShown} more; --json lists them all`]
      : [];
  return [totals, '', cells, ...more, '', describeQuestions(plan)].join('\n');
}

function describeQuestions(plan: SuitePlan): string {
  const answered =
    plan.questions.length === 0
      ? 'No two models differ in exactly one factor: this suite answers no question cleanly.'
      : `It answers, all else held equal: ${plan.questions.map((one) => `${one.factor} (${one.pairs} pairs)`).join(', ')}.`;
  const confounded = plan.confounding.factors
    .filter((one) => plan.confounding.unanswerable.includes(one.factor))
    .map((one) =>
      one.confoundedWith.length > 0
        ? `CONFOUNDED: ${one.factor} only ever varies together with ${one.confoundedWith.join(', ')}; its effect cannot be told apart.`
        : `CONFOUNDED: no two models differ in ${one.factor} alone; its effect cannot be told apart.`,
    );
  return [answered, ...confounded].join('\n');
}
