import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createStudy,
  downloadStudyCsv,
  drawStudyFigure,
  readStudyResults,
  type StudyRow,
  showStudy,
  showStudyChain,
} from '@beamtime/contracts';
import type { DemoCorpora } from '../demo-suites.js';
import type { Person, World } from '../world.js';

const studyTimeoutMs = 240_000;
const pollMs = 700;
const rowsPerPage = 20_000;

export interface FinishedStudy {
  readonly studyId: string;
  readonly figurePath: string;
  readonly evaluationJobId: string;
  readonly modelId: string;
  readonly trainingJobId: string;
}

/** One evaluation over every model and revision, a table, and a figure. */
export async function runStudy(world: World, suiteId: string, corpora: DemoCorpora): Promise<FinishedStudy> {
  const { narrator } = world;
  narrator.chapter('A study over all models and revisions');
  const researcher = world.labs[1]?.researcher as Person;
  const study = await researcher.api.call(createStudy, {
    body: {
      title: `Loss and attention heads across sizes, languages and seeds (${world.runName})`,
      suiteId,
      heldOut: corpora.languages.map((l) => l.heldOutCorpusId),
      headScores: true,
    },
  });
  const params = { studyId: study.studyId };
  const progress = narrator.progress('evaluating');
  const deadlineMs = Date.now() + studyTimeoutMs;
  let shown = await world.api.call(showStudy, { params });
  while (shown.state === 'running') {
    if (Date.now() > deadlineMs) throw new Error(`the study is still running: ${JSON.stringify(shown.jobs)}`);
    progress.update(
      shown.revisionsDone / Math.max(1, shown.revisionsExpected),
      `${shown.revisionsDone} of ${shown.revisionsExpected} revisions`,
    );
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    shown = await world.api.call(showStudy, { params });
  }
  progress.done(`${shown.revisionsDone} revisions of ${shown.models} models`);
  narrator.check('every revision of every model was evaluated', shown.state === 'complete', shown.state);
  const rows = await allRows(world, study.studyId);
  const table = summarise(rows);
  narrator.table(
    ['model', 'parameters', 'language', 'seed', 'bits per byte', 'previous-token', 'induction'],
    table.map((r) => [
      r.model,
      r.parameters.toLocaleString('en'),
      r.language,
      String(r.seed),
      r.bitsPerByte.toFixed(3),
      r.previousToken.toFixed(3),
      r.induction.toFixed(3),
    ]),
  );
  narrator.say(
    'Bits per byte on the held-out text of the language that the model was trained on; scores of the best head.',
  );
  const { demoDir } = world.options;
  const figure = await (await world.api.raw(drawStudyFigure, { params })).text();
  const figurePath = join(demoDir, 'figure.svg');
  writeFileSync(figurePath, figure);
  writeFileSync(join(demoDir, 'study.csv'), await (await world.api.raw(downloadStudyCsv, { params })).text());
  narrator.check(
    'the figure is an SVG with its axes',
    figure.includes('<svg') && /bits per byte/i.test(figure),
    figurePath,
  );
  const chain = await world.api.call(showStudyChain, { params });
  const [link] = chain.links;
  if (link === undefined || link.trainingJobId === null)
    throw new Error('the study has no chain back to its training');
  world.report['study'] = {
    studyId: study.studyId,
    models: shown.models,
    revisions: shown.revisionsDone,
    rows: rows.length,
    table,
  };
  return {
    studyId: study.studyId,
    figurePath,
    evaluationJobId: link.evaluationJobId,
    modelId: link.modelId,
    trainingJobId: link.trainingJobId,
  };
}

async function allRows(world: World, studyId: string): Promise<StudyRow[]> {
  const rows: StudyRow[] = [];
  let after: string | undefined;
  do {
    const page = await world.api.call(readStudyResults, {
      params: { studyId },
      query: { limit: rowsPerPage, ...(after === undefined ? {} : { after }) },
    });
    rows.push(...page.items);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return rows;
}

/** One line per model: its last revision, in its own language, and its best heads. */
function summarise(rows: readonly StudyRow[]) {
  const models = [...new Set(rows.map((row) => row.model))].sort();
  return models.map((model) => {
    const own = rows.filter((row) => row.model === model);
    const lastStep = Math.max(...own.map((row) => row.step));
    const final = own.filter((row) => row.step === lastStep);
    const best = (metric: StudyRow['metric']) =>
      Math.max(0, ...final.filter((row) => row.metric === metric).map((row) => row.value));
    const loss = final.find((row) => row.metric === 'bitsPerByte' && row.textLanguage === row.language);
    return {
      model,
      parameters: own[0]?.parameters ?? 0,
      language: own[0]?.language ?? '',
      seed: own[0]?.initialisationSeed ?? 0,
      step: lastStep,
      bitsPerByte: loss?.value ?? Number.NaN,
      previousToken: best('previousToken'),
      induction: best('induction'),
    };
  });
}
