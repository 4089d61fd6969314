import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ApiClient,
  createStudy,
  downloadStudyCsv,
  drawStudyFigure,
  listStudies,
  readStudyResults,
  type StudyMetric,
  type StudyRow,
  type StudyView,
  showLab,
  showStudy,
  showStudyChain,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import { corpusIdOf } from '../catalogue/corpus-commands.js';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { CheckFailed } from '../core/usage-error.js';

const pollEveryMs = 1_000;

interface CreateOptions {
  readonly title: string;
  readonly suite?: string;
  readonly models?: string[];
  readonly revisions?: string[];
  readonly heldOut?: string[];
  readonly minimalPairs?: string[];
  readonly heads: boolean;
  readonly lab?: string;
  readonly wait?: boolean;
}

export function registerStudyCommands(program: Command, io: CliIo): void {
  const study = program
    .command('study')
    .description('one evaluation over many models, its table and its figure');

  examples(
    study
      .command('create')
      .description('evaluate models over their revisions, one job per model')
      .requiredOption('--title <title>', 'what the figure is called')
      .option('--suite <suite>', 'all models of a suite that have weights')
      .option('--models <models...>', 'or these, by name or id')
      .option('--revisions <revisions...>', 'only these, as step64 or main; all by default')
      .option('--held-out <corpora...>', 'corpora that were not trained on, by name or id, for bits per byte')
      .option(
        '--minimal-pairs <corpora...>',
        'corpora of format pairs (BLiMP), by name or id, for accuracy on minimal pairs',
      )
      .option('--no-heads', 'leave out the scores of attention heads')
      .option('--lab <lab>', 'the lab that the jobs run for: short name or id')
      .option('--wait', 'wait until it has ended')
      .action(async (options: CreateOptions) => {
        const client = io.client();
        const idsOf = async (refs: readonly string[] = []): Promise<string[]> => {
          const ids: string[] = [];
          for (const ref of refs) ids.push(await corpusIdOf(client, ref));
          return ids;
        };
        const lab = options.lab;
        const created = await client.call(createStudy, {
          body: {
            title: options.title,
            suiteId: options.suite,
            models: options.models,
            revisions: options.revisions,
            heldOut: await idsOf(options.heldOut),
            minimalPairs: await idsOf(options.minimalPairs),
            headScores: options.heads,
            labId: lab === undefined ? undefined : (await client.call(showLab, { params: { lab } })).labId,
          },
        });
        const shown = options.wait === true ? await waitFor(io, client, created) : created;
        io.show(shown, () => describeStudy(shown));
      }),
    'study create --title "Size, language and seed" --suite sui_01k… --held-out udhr-eng udhr-deu --wait',
    'study create --title "Agreement" --suite sui_01k… --minimal-pairs blimp-agreement --no-heads --wait',
    'study create --title "Induction in Pythia" --models pythia-70m pythia-160m',
  );

  examples(
    study
      .command('list')
      .description('studies, newest first')
      .action(async () => {
        const { items } = await io.client().call(listStudies, { query: {} });
        io.show(items, () =>
          formatTable(
            ['study', 'state', 'models', 'revisions', 'of', 'title'],
            items.map((one) => [
              one.studyId,
              one.state,
              one.models,
              one.revisionsDone,
              one.revisionsExpected,
              one.title,
            ]),
            'No studies yet: beamtime study create --help',
          ),
        );
      }),
    'study list',
  );

  examples(
    study
      .command('show')
      .description('a study, its jobs and how far they are')
      .argument('<study>', 'its id')
      .option('--wait', 'wait until it has ended')
      .action(async (studyId: string, { wait }: { wait?: boolean }) => {
        const client = io.client();
        const first = await client.call(showStudy, { params: { studyId } });
        if (wait === true) await waitFor(io, client, first);
        const shown = wait === true ? await client.call(showStudy, { params: { studyId } }) : first;
        io.show(shown, () =>
          [
            describeStudy(shown),
            '',
            formatTable(
              ['model', 'state', 'revisions', 'of', 'job', 'reason'],
              shown.members.map((one) => [
                one.name,
                one.state,
                one.revisionsDone,
                one.revisionsExpected,
                one.jobId,
                one.reason,
              ]),
            ),
          ].join('\n'),
        );
      }),
    'study show stu_01k… --wait',
  );

  examples(
    study
      .command('table')
      .description('the numbers of a study: the last revision of each model; --all for all revisions')
      .argument('<study>', 'its id')
      .option('--all', 'all revisions, every head')
      .option('--metric <metric>', 'bitsPerByte, previousToken, induction, duplicateToken or accuracy')
      .option('--csv <file>', 'write everything to a CSV file instead')
      .action(async (studyId: string, options: { all?: boolean; metric?: StudyMetric; csv?: string }) => {
        const client = io.client();
        if (options.csv !== undefined) {
          const response = await client.raw(downloadStudyCsv, { params: { studyId } });
          writeFileSync(options.csv, Buffer.from(await response.arrayBuffer()));
          io.show({ file: options.csv }, () => `Written: ${options.csv}`);
          return;
        }
        const rows = await allRows(client, studyId, options.metric, options.all !== true);
        io.show(rows, () => (options.all === true ? rowsTable(rows) : summaryTable(rows)));
      }),
    'study table stu_01k…',
    'study table stu_01k… --csv results.csv',
  );

  examples(
    study
      .command('figure')
      .description('draw the figure of a study as SVG')
      .argument('<study>', 'its id')
      .option('--out <file>', 'where to write it', 'figure.svg')
      .action(async (studyId: string, { out }: { out: string }) => {
        const response = await io.client().raw(drawStudyFigure, { params: { studyId } });
        const svg = await response.text();
        writeFileSync(out, svg);
        io.show({ file: out, bytes: Buffer.byteLength(svg) }, () => `Written: ${out}`);
      }),
    'study figure stu_01k… --out figure.svg',
  );

  examples(
    study
      .command('chain')
      .description('the ids that lead from the figure back to the vote')
      .argument('<study>', 'its id')
      .action(async (studyId: string) => {
        const chain = await io.client().call(showStudyChain, { params: { studyId } });
        io.show(chain, () =>
          formatTable(
            ['evaluated by', 'model', 'trained by', 'suite', 'proposal', 'round'],
            chain.links.map((one) => [
              one.evaluationJobId,
              one.model,
              one.trainingJobId,
              one.suiteId,
              one.proposalId,
              one.roundId,
            ]),
          ),
        );
      }),
    'study chain stu_01k…',
  );
}

async function waitFor(io: CliIo, client: ApiClient, study: StudyView): Promise<StudyView> {
  const bar = io.progress(`Study ${study.title}`, study.revisionsExpected);
  let seen = study;
  while (seen.state === 'running') {
    bar.at(seen.revisionsDone, 'revisions');
    await sleep(pollEveryMs);
    seen = await client.call(showStudy, { params: { studyId: study.studyId } });
  }
  bar.done(seen.state);
  if (seen.state === 'incomplete') {
    throw new CheckFailed(`Some jobs of ${study.studyId} failed: beamtime study show ${study.studyId}`);
  }
  return seen;
}

async function allRows(
  client: ApiClient,
  studyId: string,
  metric: StudyMetric | undefined,
  finalOnly: boolean,
): Promise<StudyRow[]> {
  const rows: StudyRow[] = [];
  for (let after: string | undefined; ; ) {
    const page = await client.call(readStudyResults, {
      params: { studyId },
      query: { metric, after, finalOnly: String(finalOnly), limit: 20_000 },
    });
    rows.push(...page.items);
    if (page.next === null) return rows;
    after = page.next;
  }
}

function rowsTable(rows: readonly StudyRow[]): string {
  return formatTable(
    ['model', 'step', 'metric', 'text', 'layer', 'head', 'value', 'low', 'high'],
    rows.map((row) => [row.model, row.step, row.metric, row.text, row.layer, row.head, ...threeDigits(row)]),
    'No results are in yet.',
  );
}

function threeDigits({ value, low, high }: StudyRow): string[] {
  return [value, low, high].map((number) => number.toFixed(3));
}

/** One line per model: bits per byte of each text, accuracy on each set of pairs, and its strongest heads. */
export function summaryTable(rows: readonly StudyRow[]): string {
  const named = (metric: StudyMetric): string[] => [
    ...new Set(rows.flatMap((row) => (row.metric === metric ? [row.text ?? ''] : []))),
  ];
  const [texts, pairSets] = [named('bitsPerByte'), named('accuracy')];
  const models = [...new Set(rows.map((row) => row.model))];
  const strongest = (model: string, metric: StudyMetric): string | null => {
    const heads = rows.filter((row) => row.model === model && row.metric === metric);
    const best = heads.reduce<StudyRow | undefined>(
      (a, b) => (a === undefined || b.value > a.value ? b : a),
      undefined,
    );
    return best === undefined ? null : `${best.value.toFixed(3)} (${best.layer}.${best.head})`;
  };
  return formatTable(
    [
      'model',
      'step',
      'parameters',
      ...texts.map((text) => `bits/byte ${text}`),
      ...pairSets.map((text) => `accuracy ${text}`),
      'previous token',
      'induction',
      'duplicate token',
    ],
    models.map((model) => {
      const own = rows.filter((row) => row.model === model);
      return [
        model,
        own[0]?.step,
        own[0]?.parameters,
        ...texts.map((text) => shown(own, 'bitsPerByte', text)),
        ...pairSets.map((text) => shown(own, 'accuracy', text)),
        strongest(model, 'previousToken'),
        strongest(model, 'induction'),
        strongest(model, 'duplicateToken'),
      ];
    }),
    'No results are in yet.',
  );
}

/** A value with its 95 % interval. */
function shown(rows: readonly StudyRow[], metric: StudyMetric, text: string): string | null {
  const found = rows.find((row) => row.metric === metric && row.text === text);
  return found === undefined
    ? null
    : `${found.value.toFixed(3)} [${found.low.toFixed(3)}, ${found.high.toFixed(3)}]`;
}

function describeStudy(study: StudyView): string {
  return formatFields({
    study: study.studyId,
    title: study.title,
    state: study.state,
    models: study.models,
    revisions: `${study.revisionsDone} of ${study.revisionsExpected}`,
    next:
      study.state === 'running'
        ? `beamtime study show ${study.studyId} --wait`
        : `beamtime study figure ${study.studyId}`,
  });
}
