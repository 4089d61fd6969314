import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { FactOf, FactType } from '@beamtime/contracts';
import {
  createLogger,
  migrate,
  newId,
  type ObjectStore,
  openDataSource,
  openLocalObjectStore,
  platformSchema,
  Transactor,
} from '@beamtime/platform';
import { InProcessKnocks } from '@beamtime/platform/testing';
import { aSuiteDesign, someFactors } from '@beamtime/suites/testing';
import { deliverAll, freshDatabase, type TestDatabase } from '@beamtime/testkit';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  anyone,
  CreateSuite,
  catalogueConsumer,
  catalogueSchema,
  everything,
  FindModels,
  FindSuites,
  ImportModel,
  PlanJobs,
  ReceiveCorpus,
  RegisterCorpus,
} from './index.js';

let database: TestDatabase;
let dataSource: DataSource;
let transactor: Transactor;
let store: ObjectStore;
let folder: string;
const log = createLogger('test', 'silent');
const person = newId('Person');

beforeAll(async () => {
  database = await freshDatabase();
  const schemas = [platformSchema, catalogueSchema];
  dataSource = await openDataSource(database.url, schemas);
  await migrate(dataSource, schemas);
  transactor = new Transactor(dataSource, new InProcessKnocks(log));
  folder = await mkdtemp(join(tmpdir(), 'beamtime-catalogue-'));
  store = await openLocalObjectStore({
    folder,
    secret: 'x'.repeat(32),
    baseUrl: () => 'http://127.0.0.1:1',
    freeBytesMin: 0,
  });
});

afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

async function deliver<T extends FactType>(type: T, payload: FactOf<T>): Promise<void> {
  await transactor.do((tx) => tx.record(type, payload));
  await deliverAll(transactor, catalogueConsumer);
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function must<T>(result: { ok: true; value: T } | { ok: false; error: { detail: string } }): T {
  if (!result.ok) throw new Error(result.error.detail);
  return result.value;
}

async function registered(
  name: string,
  bytes: Uint8Array,
  announced = sha256(bytes),
  format: 'text' | 'jsonl' | 'pairs' = 'text',
): Promise<string> {
  const made = await new RegisterCorpus(transactor, store).execute(
    {
      name,
      description: '',
      language: 'deu',
      script: 'Latn',
      format,
      sizeBytes: bytes.length,
      sha256: announced,
    },
    person,
  );
  return must(made).corpus.corpusId;
}

function receive(corpusId: string, bytes: Uint8Array, by = person) {
  return new ReceiveCorpus(transactor, store).upload(
    corpusId,
    by,
    Readable.from([Buffer.from(bytes.subarray(0, 3)), Buffer.from(bytes.subarray(3))]),
    bytes.length,
  );
}

async function readyCorpus(name: string): Promise<string> {
  const bytes = new TextEncoder().encode(`Alle Menschen sind frei. ${name}\n`.repeat(400));
  const id = await registered(name, bytes);
  must(await receive(id, bytes));
  return id;
}

describe('the schema', () => {
  it('is the one that the entities describe', async () => {
    const pending = await dataSource.driver.createSchemaBuilder().log();
    const own = pending.upQueries.filter(({ query }) => query.includes('"catalogue"'));
    expect(own.map(({ query }) => query)).toEqual([]);
  });
});

describe('a corpus', () => {
  it('becomes ready when its bytes are what was announced, and text', async () => {
    const bytes = new TextEncoder().encode('Grüße an alle.\n');
    const id = await registered('greeting', bytes);
    expect(must(await receive(id, bytes)).state).toBe('ready');
    const again = must(
      await new RegisterCorpus(transactor, store).execute(
        {
          name: 'greeting',
          description: '',
          language: 'deu',
          script: 'Latn',
          format: 'text',
          sizeBytes: bytes.length,
          sha256: sha256(bytes),
        },
        person,
      ),
    );
    expect(again.corpus.corpusId).toBe(id);
    expect(again.upload).toBeNull();
  });

  it('is rejected with the place of the first bad byte, and leaves no object behind', async () => {
    const bytes = new Uint8Array([0x68, 0x69, 0x0a, 0xff, 0x00]);
    const id = await registered('binary', bytes);
    const received = await receive(id, bytes);
    expect(received).toMatchObject({
      ok: false,
      error: { code: 'catalogue.invalid-corpus', facts: { offset: 3 } },
    });
    expect((await store.head(`corpora/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`)).ok).toBe(false);
    expect(await receive(id, bytes)).toMatchObject({ error: { code: 'state.illegal-transition' } });
  });

  it('is rejected when its lines are not what its format promises, and takes no bytes from another', async () => {
    const bytes = new TextEncoder().encode('{"title": "no text in it"}\n');
    const asText = await registered('lines-as-text', bytes);
    expect(must(await receive(asText, bytes)).state).toBe('ready');
    const asLines = await registered('lines', bytes, sha256(bytes), 'jsonl');
    expect(await receive(asLines, bytes)).toMatchObject({
      error: {
        code: 'catalogue.invalid-corpus',
        detail:
          'lines is not usable jsonl: at byte 0: line 1 is not a JSON object with text in the field "text"',
      },
    });
    expect((await store.head(`corpora/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`)).ok).toBe(true);
  });

  it('is refused when it is empty, under the name of another, or from somebody else', async () => {
    const register = new RegisterCorpus(transactor, store);
    const empty = {
      name: 'empty',
      description: '',
      language: 'deu',
      script: 'Latn',
      format: 'text' as const,
      sizeBytes: 0,
      sha256: sha256(''),
    };
    expect(await register.execute(empty, person)).toMatchObject({
      error: { code: 'catalogue.invalid-corpus' },
    });
    const bytes = new TextEncoder().encode('one');
    const id = await registered('taken', bytes);
    expect(await receive(id, bytes, newId('Person'))).toMatchObject({ error: { code: 'auth.forbidden' } });
    expect(await register.execute({ ...empty, name: 'taken', sizeBytes: 5 }, person)).toMatchObject({
      error: { code: 'resource.exists' },
    });
  });

  it('can be sent again after bytes that were not the announced ones', async () => {
    const bytes = new TextEncoder().encode('the right text');
    const id = await registered('retried', bytes);
    const wrong = await receive(id, new TextEncoder().encode('the wrong text'));
    expect(wrong).toMatchObject({ error: { code: 'object-store.checksum-mismatch' } });
    expect(must(await receive(id, bytes)).state).toBe('ready');
  });

  it('is checked in the store when it came by a presigned request', async () => {
    const bytes = new TextEncoder().encode('put past the facility');
    const id = await registered('presigned', bytes);
    const commit = () => new ReceiveCorpus(transactor, store).commit(id, person);
    expect(await commit()).toMatchObject({ error: { code: 'object-store.not-found' } });
    must(await store.put(`corpora/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`, bytes));
    expect(must(await commit()).state).toBe('ready');
  });
});

const weights = (text: string) => ({
  path: 'model.safetensors',
  sizeBytes: text.length,
  sha256: sha256(text),
  objectKey: `attempts/${sha256(text)}`,
});

function checkpoint(
  modelId: string,
  jobId: string,
  step: number,
  text: string,
  attempt = 1,
): FactOf<'attempt.checkpoint-committed'> {
  return {
    jobId,
    attempt,
    clusterId: newId('Cluster'),
    modelId,
    step,
    tokensSeen: step * 100,
    bytesSeen: step * 300,
    loss: step === 0 ? null : 5 / step,
    weightsSha256: sha256(text),
    files: [
      weights(text),
      { path: 'config.json', sizeBytes: 2, sha256: sha256('{}'), objectKey: 'attempts/config' },
    ],
    at: new Date().toISOString(),
  };
}

function ended(modelId: string, jobId: string, state: 'succeeded' | 'failed'): FactOf<'job.ended'> {
  return {
    jobId,
    kind: 'train',
    state,
    attempts: 2,
    gpuSecondsUsed: 40,
    modelId,
    suiteId: null,
    studyId: null,
    reason: state === 'failed' ? 'the loss was not finite' : null,
    at: new Date().toISOString(),
  };
}

describe('an adopted suite', () => {
  const suiteId = newId('Suite');
  let models: { modelId: string; name: string }[];

  beforeAll(async () => {
    const design = aSuiteDesign({
      factors: someFactors({
        language: [
          { name: 'eng', language: 'eng', script: 'Latn', corpusId: await readyCorpus('eng') },
          { name: 'deu', language: 'deu', script: 'Latn', corpusId: await readyCorpus('deu') },
        ],
      }),
    });
    const fact: FactOf<'round.decided'> = {
      roundId: newId('Round'),
      certificateSha256: sha256('certificate'),
      decidedAt: new Date().toISOString(),
      adopted: [
        {
          proposalId: newId('Proposal'),
          suiteId,
          labId: newId('Lab'),
          title: design.title,
          gpuSeconds: 1_000,
          design,
        },
      ],
    };
    await deliver('round.decided', fact);
    await deliver('round.decided', fact);
    models = must(await new FindSuites(transactor).show(anyone, suiteId)).members;
  });

  it('is entered once with its planned models, however often the fact comes', async () => {
    expect(models).toHaveLength(8);
    const shown = must(await new FindSuites(transactor).show(anyone, suiteId));
    expect(shown).toMatchObject({ state: 'planned', models: { planned: 8 }, gpuSecondsReserved: 1_000 });
  });

  it('gives a job for each planned model, with the corpora of a shared tokenizer', async () => {
    const jobs = must(await new PlanJobs(transactor).training(suiteId, { threads: 1 }));
    expect(jobs).toHaveLength(8);
    expect(jobs[0]?.inputs).toHaveLength(2);
    expect(jobs[0]?.template).toMatchObject({ kind: 'train', runtime: { threads: 1 } });
    expect(jobs[0]?.template).not.toHaveProperty('jobId');
  });

  it('follows a run through checkpoints and a restart to a ready model', async () => {
    const { modelId, name } = models[0] as { modelId: string; name: string };
    const jobId = newId('Job');
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, jobId, 0, 'w0'));
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, jobId, 4, 'w4'));
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, jobId, 4, 'w4', 2));
    const find = new FindModels(transactor);
    expect(must(await find.show(anyone, name)).state).toBe('training');
    await deliver('job.ended', ended(modelId, jobId, 'succeeded'));
    const shown = must(await find.show(anyone, name));
    expect(shown).toMatchObject({ state: 'ready', revisions: 2, lastStep: 4, gpuSeconds: 40, jobId });
    expect(shown.provenance.divergences).toEqual([]);
    const { items } = must(await find.revisions(anyone, modelId));
    expect(items.map((one) => one.revision)).toEqual(['step0', 'step4']);
    const main = must(await find.revision(anyone, modelId, 'main'));
    expect(main.revision.step).toBe(4);
    expect(must(await find.revision(anyone, modelId, main.revision.commit)).revision.step).toBe(4);
    const serving = must(await new PlanJobs(transactor).serving(modelId));
    expect(serving.inputs.map((input) => input.path)).toContain('revisions/step4/model.safetensors');
  });

  it('keeps the first bits of a revision and records that a restart made others', async () => {
    const { modelId, name } = models[1] as { modelId: string; name: string };
    const jobId = newId('Job');
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, jobId, 2, 'first'));
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, jobId, 2, 'other', 2));
    const shown = must(await new FindModels(transactor).show(anyone, name));
    expect(shown.provenance.divergences).toEqual([{ step: 2, attempt: 2, weightsSha256: sha256('other') }]);
    const revision = must(await new FindModels(transactor).revision(anyone, name, 'step2'));
    expect(revision.revision.weights_sha256).toBe(sha256('first'));
  });

  it('lets a failed model be trained again by another job', async () => {
    const { modelId, name } = models[2] as { modelId: string; name: string };
    const find = new FindModels(transactor);
    const [first, second] = [newId('Job'), newId('Job')];
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, first, 1, 'a'));
    await deliver('job.ended', ended(modelId, first, 'failed'));
    expect(must(await find.show(anyone, name))).toMatchObject({
      state: 'failed',
      reason: 'the loss was not finite',
    });
    const planned = must(await new PlanJobs(transactor).training(suiteId));
    expect(planned.map((job) => job.modelId)).toContain(modelId);
    await deliver('attempt.checkpoint-committed', checkpoint(modelId, second, 1, 'b'));
    await deliver('job.ended', ended(modelId, second, 'succeeded'));
    expect(must(await find.show(anyone, name))).toMatchObject({ state: 'ready', gpuSeconds: 80 });
    expect(must(await find.revision(anyone, name, 'step1')).revision.weights_sha256).toBe(sha256('b'));
  });

  it('shows neighbours, filters by factor, and pages', async () => {
    const find = new FindModels(transactor);
    const { items } = must(await find.neighbours(anyone, 'udhr-neox-100k-eng-s1'));
    expect(items.map(({ name, factor }) => [name, factor])).toEqual([
      ['udhr-neox-100k-deu-s1', 'language'],
      ['udhr-neox-100k-eng-s2', 'initialisationSeed'],
      ['udhr-neox-400k-eng-s1', 'size'],
    ]);
    const query = { limit: 3, factor: ['language=deu', 'layers=2'] };
    const page = must(await find.list(anyone, query));
    expect(page.items).toHaveLength(3);
    const rest = must(await find.list(anyone, { ...query, after: page.next ?? '' }));
    expect(rest.items).toHaveLength(1);
    expect(rest.next).toBeNull();
    expect(await find.list(anyone, { limit: 1, factor: ['sise=1'] })).toMatchObject({
      error: { code: 'request.invalid' },
    });
    const report = must(await find.confounding(anyone, { suiteId }));
    expect(report.unanswerable).toEqual([]);
  });

  it('keeps what an evaluation found, once', async () => {
    const { modelId } = models[0] as { modelId: string };
    const fact: FactOf<'evaluation.reported'> = {
      jobId: newId('Job'),
      attempt: 1,
      studyId: null,
      modelId,
      step: 4,
      results: { evaluations: [{ task: 'headScores', sequences: 2, heads: [] }], receipt: null },
      at: new Date().toISOString(),
    };
    await deliver('evaluation.reported', fact);
    await deliver('evaluation.reported', fact);
    const { items } = must(await new FindModels(transactor).evaluations(anyone, modelId, { limit: 10 }));
    expect(items).toHaveLength(1);
    expect(items[0]?.results).toEqual([{ task: 'headScores', sequences: 2, heads: [] }]);
  });

  it('gives the suite of a later round another name when its own is taken', async () => {
    const second = newId('Suite');
    await deliver('round.decided', {
      roundId: newId('Round'),
      certificateSha256: sha256('again'),
      decidedAt: new Date().toISOString(),
      adopted: [
        {
          proposalId: newId('Proposal'),
          suiteId: second,
          labId: newId('Lab'),
          title: 'Again',
          gpuSeconds: 1,
          design: aSuiteDesign(),
        },
      ],
    });
    expect(must(await new FindSuites(transactor).show(anyone, second)).name).toBe('udhr-2');
    const asked = await new CreateSuite(transactor).execute(aSuiteDesign(), { actor: person, labId: null });
    expect(asked).toMatchObject({ error: { code: 'resource.exists' } });
  });

  it('cannot be trained while a corpus is missing, and says which', async () => {
    const created = must(
      await new CreateSuite(transactor).execute(aSuiteDesign({ name: 'orphan' }), {
        actor: person,
        labId: null,
      }),
    );
    expect(await new PlanJobs(transactor).training(created.suiteId)).toMatchObject({
      error: { code: 'catalogue.invalid-corpus', detail: 'The corpus corpus-eng is not registered' },
    });
  });
});

describe('an imported model', () => {
  const labId = newId('Lab');
  const description = {
    name: 'gpt2-toy',
    factors: { family: 'gpt2', layers: 2 },
    visibility: 'private' as const,
    labId,
    revisions: [
      {
        step: 0,
        tokensSeen: null,
        files: [
          { path: 'config.json', sizeBytes: 2, sha256: sha256('{}') },
          { path: 'model.safetensors', sizeBytes: 4, sha256: sha256('toy!') },
        ],
      },
    ],
  };
  const described = () => ({ ...description, factors: { family: 'gpt2', layers: 2 } as never });

  it('is there once its files are, and only for those who may see it', async () => {
    const importing = new ImportModel(transactor, store);
    const announced = must(await importing.announce(described(), person));
    expect(must(await importing.announce(described(), person)).modelId).toBe(announced.modelId);
    expect(announced.uploads.every((one) => one.upload !== null)).toBe(true);
    expect(await importing.commit(announced.modelId, person)).toMatchObject({
      error: { code: 'object-store.not-found' },
    });
    for (const content of ['{}', 'toy!']) {
      const hash = sha256(content);
      must(await store.put(`models/${hash.slice(0, 2)}/${hash}`, new TextEncoder().encode(content)));
    }
    expect(must(await importing.commit(announced.modelId, person))).toMatchObject({
      state: 'imported',
      revisions: 1,
    });
    const find = new FindModels(transactor);
    expect(await find.show(anyone, 'gpt2-toy')).toMatchObject({ error: { code: 'resource.not-found' } });
    expect(must(await find.show({ ...anyone, labIds: [labId] }, 'GPT2-toy')).factors.language).toBeNull();
    expect((await find.show({ ...anyone, grantedModelIds: [announced.modelId] }, 'gpt2-toy')).ok).toBe(true);
    expect((await find.show(everything, 'gpt2-toy')).ok).toBe(true);
  });

  it('is refused without a configuration, or when private to nobody', async () => {
    const importing = new ImportModel(transactor, store);
    const { labId: _, ...nobody } = described();
    expect(await importing.announce({ ...nobody, name: 'x1' }, person)).toMatchObject({
      error: { code: 'request.invalid' },
    });
    const bare = {
      ...described(),
      name: 'x2',
      revisions: [{ step: 0, tokensSeen: null, files: [weights('w')] }],
    };
    expect(await importing.announce(bare, person)).toMatchObject({ error: { code: 'request.invalid' } });
  });
});
