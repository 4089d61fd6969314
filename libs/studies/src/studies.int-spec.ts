import type { FactOf, FactType } from '@beamtime/contracts';
import { err, ok, problem } from '@beamtime/kernel';
import { createLogger, migrate, newId, openDataSource, platformSchema, Transactor } from '@beamtime/platform';
import { InProcessKnocks } from '@beamtime/platform/testing';
import { deliverAll, freshDatabase, type TestDatabase } from '@beamtime/testkit';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  CreateStudy,
  type EvaluationRequest,
  FindStudies,
  ReadResults,
  type StudyModel,
  type StudyViewer,
  studiesConsumer,
  studiesSchema,
} from './index.js';

let database: TestDatabase;
let dataSource: DataSource;
let transactor: Transactor;
const log = createLogger('test', 'silent');
const anyone: StudyViewer = { seesAll: false, labIds: [] };
const personId = newId('Person');
const corpusId = newId('Corpus');
const pairsId = newId('Corpus');

beforeAll(async () => {
  database = await freshDatabase();
  const schemas = [platformSchema, studiesSchema];
  dataSource = await openDataSource(database.url, schemas);
  await migrate(dataSource, schemas);
  transactor = new Transactor(dataSource, new InProcessKnocks(log));
});

afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

function aModel(name: string, isPrivate = false): StudyModel {
  return {
    modelId: newId('Model'),
    name,
    isPrivate,
    factors: {
      family: 'gpt-neox',
      size: '1m',
      parameters: 1_000_000,
      language: 'deu',
      initialisationSeed: 1,
    },
    revisions: [0, 4].map((step) => ({ step, tokensSeen: step * 100 })),
    trainingJobId: newId('Job'),
    suiteId: newId('Suite'),
    proposalId: newId('Proposal'),
    roundId: newId('Round'),
    certificateSha256: 'c'.repeat(64),
  };
}

let models: StudyModel[];
let submitted: (EvaluationRequest & { jobId: string })[];
let refuseFrom: number;

beforeEach(() => {
  models = [aModel('one'), aModel('two')];
  submitted = [];
  refuseFrom = Number.POSITIVE_INFINITY;
});

function creating(): CreateStudy {
  return new CreateStudy(
    transactor,
    { find: async () => ok(models) },
    {
      find: async (ids, format) =>
        ok(
          ids.map((id) => ({
            corpusId: id,
            name: format === 'pairs' ? 'agreement' : 'udhr-deu',
            language: 'deu',
            script: 'Latn',
          })),
        ),
    },
    {
      submit: async (_tx, request) => {
        if (submitted.length >= refuseFrom) return err(problem('scheduling.queue-full', 'full'));
        const jobId = newId('Job');
        submitted.push({ ...request, jobId });
        return ok(jobId);
      },
    },
  );
}

const body = {
  title: 'A study',
  description: '',
  models: ['one', 'two'],
  heldOut: [corpusId],
  minimalPairs: [],
  headScores: true,
};

async function create(changes: object = {}): Promise<string> {
  const created = await creating().execute({ ...body, ...changes }, { personId, viewer: anyone });
  if (!created.ok) throw new Error(created.error.detail);
  return created.value.studyId;
}

async function deliver<T extends FactType>(type: T, payload: FactOf<T>): Promise<void> {
  await transactor.do((tx) => tx.record(type, payload));
  await deliverAll(transactor, studiesConsumer);
}

function reported(studyId: string, request: EvaluationRequest & { jobId: string }, step: number) {
  const score = { value: 0.2, low: 0.1, high: 0.3, level: 0.95 };
  const loss = { value: 5 - step / 4, low: 4, high: 6, level: 0.95 };
  return deliver('evaluation.reported', {
    jobId: request.jobId,
    attempt: 1,
    studyId,
    modelId: request.modelId,
    step,
    results: {
      receipt: null,
      evaluations: [
        {
          task: 'bitsPerByte',
          id: corpusId,
          language: 'deu',
          script: 'Latn',
          bitsPerByte: loss,
          bytes: 100,
          tokens: 30,
          sha256: 'a'.repeat(64),
          objective: 'causal',
        },
        {
          task: 'headScores',
          sequences: 2,
          heads: [{ layer: 0, head: 1, previousToken: score, induction: score, duplicateToken: score }],
        },
      ],
    },
    at: new Date().toISOString(),
  });
}

function reportedPairs(studyId: string, request: EvaluationRequest & { jobId: string }, step: number) {
  return deliver('evaluation.reported', {
    jobId: request.jobId,
    attempt: 1,
    studyId,
    modelId: request.modelId,
    step,
    results: {
      receipt: null,
      evaluations: [
        {
          task: 'minimalPairs',
          id: pairsId,
          language: 'deu',
          script: 'Latn',
          accuracy: { value: 0.5 + step / 40, low: 0.45, high: 0.7, level: 0.95 },
          pairs: 40,
          sha256: 'a'.repeat(64),
        },
      ],
    },
    at: new Date().toISOString(),
  });
}

function ended(jobId: string, state: 'succeeded' | 'failed') {
  return deliver('job.ended', {
    jobId,
    kind: 'evaluate',
    state,
    attempts: 1,
    gpuSecondsUsed: 5,
    modelId: null,
    suiteId: null,
    studyId: null,
    reason: state === 'failed' ? 'out of memory' : null,
    at: new Date().toISOString(),
  });
}

describe('the schema', () => {
  it('is the one that the entities describe', async () => {
    const pending = await dataSource.driver.createSchemaBuilder().log();
    const own = pending.upQueries.filter(({ query }) => query.includes('"studies"'));
    expect(own.map(({ query }) => query)).toEqual([]);
  });
});

describe('a study', () => {
  it('asks for one job per model over all its revisions, and is complete when all have ended well', async () => {
    const studyId = await create();
    expect(submitted.map(({ modelName, revisions }) => [modelName, revisions])).toEqual([
      ['one', ['step0', 'step4']],
      ['two', ['step0', 'step4']],
    ]);
    for (const request of submitted) {
      for (const step of [0, 4]) await reported(studyId, request, step);
      await reported(studyId, request, 4);
      await ended(request.jobId, 'succeeded');
    }
    const shown = await new FindStudies(transactor).show(anyone, studyId);
    expect(shown).toMatchObject({
      ok: true,
      value: { state: 'complete', models: 2, jobs: { succeeded: 2 }, revisionsExpected: 4, revisionsDone: 4 },
    });
  });

  it('gives its numbers as rows, pages, CSV and a figure', async () => {
    const studyId = await create();
    for (const request of submitted) for (const step of [0, 4]) await reported(studyId, request, step);
    const results = new ReadResults(transactor);
    const page = await results.page(anyone, studyId, { finalOnly: false, limit: 10 });
    if (!page.ok) throw new Error(page.error.detail);
    expect(page.value.items).toHaveLength(10);
    expect(page.value.next).toBe('10');
    expect(page.value.items[0]).toMatchObject({
      model: 'one',
      step: 0,
      parameters: 1_000_000,
      metric: 'bitsPerByte',
      text: 'udhr-deu',
      value: 5,
    });
    const last = await results.page(anyone, studyId, { finalOnly: true, limit: 100, metric: 'induction' });
    expect(last.ok && last.value.items.map((row) => [row.model, row.step, row.head])).toEqual([
      ['one', 4, 1],
      ['two', 4, 1],
    ]);
    const csv = await results.csv(anyone, studyId);
    expect(csv.ok && [...csv.value]).toHaveLength(17);
    const figure = await results.figure(anyone, studyId);
    expect(figure.ok && figure.value).toContain('Held-out loss (bits per byte)');
  });

  it('takes minimal pairs as a material, and has their accuracy in rows, CSV and figure', async () => {
    const studyId = await create({ heldOut: [], minimalPairs: [pairsId], headScores: false });
    expect(submitted[0]).toMatchObject({
      heldOut: [],
      minimalPairs: [{ corpusId: pairsId, name: 'agreement' }],
      headScores: false,
    });
    for (const request of submitted) for (const step of [0, 4]) await reportedPairs(studyId, request, step);
    const results = new ReadResults(transactor);
    const last = await results.page(anyone, studyId, { finalOnly: true, limit: 100 });
    expect(last.ok && last.value.items).toMatchObject([
      { model: 'one', step: 4, metric: 'accuracy', text: 'agreement', value: 0.6, low: 0.45, high: 0.7 },
      { model: 'two', metric: 'accuracy' },
    ]);
    const figure = await results.figure(anyone, studyId);
    expect(figure.ok && figure.value).toContain('Minimal pairs: last revision against size');
  });

  it('is incomplete when a job failed, and says why', async () => {
    const studyId = await create();
    await ended(submitted[0]?.jobId ?? '', 'failed');
    await ended(submitted[1]?.jobId ?? '', 'succeeded');
    await ended(submitted[1]?.jobId ?? '', 'failed');
    const shown = await new FindStudies(transactor).show(anyone, studyId);
    expect(shown).toMatchObject({ value: { state: 'incomplete', jobs: { failed: 1, succeeded: 1 } } });
    expect(shown.ok && shown.value.members[0]?.reason).toBe('out of memory');
    expect(await new ReadResults(transactor).figure(anyone, studyId)).toMatchObject({
      error: { code: 'studies.nothing-to-study' },
    });
  });

  it('leaves nothing behind when one of its jobs is refused', async () => {
    refuseFrom = 1;
    const before = await new FindStudies(transactor).list(anyone, { limit: 100 });
    const refused = await creating().execute(body, { personId, viewer: anyone });
    expect(refused).toMatchObject({ error: { code: 'scheduling.queue-full' } });
    const after = await new FindStudies(transactor).list(anyone, { limit: 100 });
    expect(after.items).toHaveLength(before.items.length);
  });

  it('takes the revisions asked for that a model has, and is refused when none has any', async () => {
    await create({ revisions: ['main', 'step0', 'step9'] });
    expect(submitted[0]?.revisions).toEqual(['step0', 'step4']);
    const none = await creating().execute({ ...body, revisions: ['step9'] }, { personId, viewer: anyone });
    expect(none).toMatchObject({ error: { code: 'studies.nothing-to-study' } });
  });

  it('does not take results from a job that is not its own', async () => {
    const studyId = await create();
    const stranger = { ...(submitted[0] as EvaluationRequest & { jobId: string }), jobId: newId('Job') };
    await reported(studyId, stranger, 0);
    expect(await new FindStudies(transactor).show(anyone, studyId)).toMatchObject({
      value: { revisionsDone: 0 },
    });
  });

  it('leads from its figure back to the vote', async () => {
    const studyId = await create();
    const chain = await new FindStudies(transactor).chain(anyone, studyId);
    expect(chain.ok && chain.value.links[0]).toMatchObject({
      evaluationJobId: submitted[0]?.jobId,
      model: 'one',
      trainingJobId: models[0]?.trainingJobId,
      roundId: models[0]?.roundId,
    });
  });

  it('of a private model is there for its lab alone', async () => {
    models = [aModel('secret', true)];
    const labId = newId('Lab');
    const studyId = await create({ labId });
    const find = new FindStudies(transactor);
    expect(await find.show(anyone, studyId)).toMatchObject({ error: { code: 'resource.not-found' } });
    expect((await find.show({ seesAll: false, labIds: [labId] }, studyId)).ok).toBe(true);
  });
});
