import {
  type InputOf,
  type ResponseOf,
  type readStudyResults,
  type StudyRow,
  studyColumns,
  studyLimits,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { drawFigure } from './domain/draw-figure.js';
import { type Finding, flattenResults } from './domain/flatten-results.js';
import { csvLine } from './domain/write-csv.js';
import { readStudies } from './find-studies.js';
import type { StudyMaterial, StudyModel, StudyViewer } from './ports.js';
import { renderSvg } from './render-svg.js';

type NotFound = Problem<'resource.not-found'>;

interface ResultRecord {
  step: number;
  findings: Finding[];
  model: StudyModel;
}

/** The numbers of a study: as rows, as CSV, as a figure. */
@Injectable()
export class ReadResults {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async page(
    viewer: StudyViewer,
    studyId: string,
    query: InputOf<typeof readStudyResults>['query'],
  ): Promise<Result<ResponseOf<typeof readStudyResults>, NotFound>> {
    const found = await this.rows(viewer, studyId);
    if (!found.ok) return found;
    const rows = found.value.rows.filter(
      (row) =>
        (query.metric === undefined || row.metric === query.metric) &&
        (!query.finalOnly || row.step === found.value.lastStep.get(row.modelId)),
    );
    const from = Number(query.after ?? 0);
    const items = rows.slice(from, from + query.limit);
    const to = from + items.length;
    return ok({ items, next: to < rows.length ? String(to) : null });
  }

  /** Lines of a CSV file, its head first. */
  async csv(viewer: StudyViewer, studyId: string): Promise<Result<Iterable<string>, NotFound>> {
    const found = await this.rows(viewer, studyId);
    return found.ok ? ok(csvLines(found.value.rows)) : found;
  }

  async figure(
    viewer: StudyViewer,
    studyId: string,
  ): Promise<Result<string, NotFound | Problem<'studies.nothing-to-study'>>> {
    const found = await this.rows(viewer, studyId);
    if (!found.ok) return found;
    const { study, rows } = found.value;
    const spec = drawFigure(rows, {
      title: study.title,
      subtitle: `${study.studyId} · ${study.models} models, ${study.revisionsDone} of ${study.revisionsExpected} revisions · bars: 95 % intervals; lines: means over seeds, or one model each`,
    });
    if (spec === undefined) {
      return err(
        problem('studies.nothing-to-study', 'No results are in yet; try again when a job has reported some'),
      );
    }
    return ok(await renderSvg(spec));
  }

  private async rows(viewer: StudyViewer, studyId: string) {
    const tx = this.transactor.read;
    const [study] = await readStudies(tx, viewer, { studyId });
    if (study === undefined) return err(problem('resource.not-found', `There is no study ${studyId}`));
    const records = await tx.rows<ResultRecord>(
      `SELECT r.step, r.findings, j.model FROM studies.study_result r
       JOIN studies.study_job j ON j.study_id = r.study_id AND j.model_id = r.model_id
       WHERE r.study_id = $1 ORDER BY j.model->>'name', r.step`,
      [studyId],
    );
    const { heldOut, minimalPairs } = study.definition;
    const texts = new Map([...heldOut, ...minimalPairs].map((text) => [text.corpusId, text]));
    const lastStep = new Map(records.map((record) => [record.model.modelId, record.step]));
    const rows = records.flatMap((record) => studyRows(record, texts)).slice(0, studyLimits.rows);
    return ok({ study, rows, lastStep });
  }
}

function studyRows(record: ResultRecord, texts: ReadonlyMap<string, StudyMaterial>): StudyRow[] {
  const { model, step } = record;
  const text = (name: string): string | null => {
    const value = model.factors[name];
    return typeof value === 'string' ? value : null;
  };
  const count = (name: string): number | null => {
    const value = model.factors[name];
    return typeof value === 'number' ? value : null;
  };
  const described = {
    modelId: model.modelId,
    model: model.name,
    step,
    tokensSeen: model.revisions.find((revision) => revision.step === step)?.tokensSeen ?? null,
    family: text('family'),
    size: text('size'),
    parameters: count('parameters'),
    parametersWithoutEmbeddings: count('parametersWithoutEmbeddings'),
    language: text('language'),
    tokenizer: text('tokenizer'),
    initialisationSeed: count('initialisationSeed'),
    dataOrderSeed: count('dataOrderSeed'),
  };
  return flattenResults(record.findings).map((measure) => ({
    ...described,
    ...measure,
    text: measure.text === null ? null : (texts.get(measure.text)?.name ?? measure.text),
  }));
}

function* csvLines(rows: readonly StudyRow[]): Generator<string> {
  yield csvLine(studyColumns);
  for (const row of rows) yield csvLine(studyColumns.map((column) => row[column]));
}
