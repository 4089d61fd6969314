import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { FundRound, ReserveSuites } from '@beamtime/access';
import { catalogueConsumer, ReceiveCorpus, RegisterCorpus } from '@beamtime/catalogue';
import {
  commitCheckpoint,
  commitEvaluation,
  evaluateModel,
  evaluateSuite,
  requestUploads,
  type SuiteDesignInput,
  serveModel,
  suiteDesignSchema,
  trainSuite,
} from '@beamtime/contracts';
import { present } from '@beamtime/kernel';
import { newId } from '@beamtime/platform';
import { deliverAll } from '@beamtime/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { refusal, type SchedulingForTest, type SimulatedAgent, schedulingForTest } from './testing.js';

let at: SchedulingForTest;
let agent: SimulatedAgent;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '20000' });
  agent = await (await at.cluster('suites', { gpus: 8 })).register();
});
afterAll(() => at.close());

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function corpus(name: string): Promise<string> {
  const bytes = Buffer.from(`All human beings are born free. ${name}\n`);
  const by = at.principal.personId;
  const app = at.service.app;
  const made = await app.get(RegisterCorpus, { strict: false }).execute(
    {
      name,
      description: '',
      language: 'eng',
      script: 'Latn',
      format: 'text',
      sizeBytes: bytes.length,
      sha256: sha256(bytes.toString()),
    },
    by,
  );
  if (!made.ok) throw new Error(made.error.detail);
  const { corpusId } = made.value.corpus;
  const received = await app
    .get(ReceiveCorpus, { strict: false })
    .upload(corpusId, by, Readable.from([bytes]), bytes.length);
  if (!received.ok) throw new Error(received.error.detail);
  return corpusId;
}

async function suite(name: string, corpusId: string): Promise<string> {
  const design: SuiteDesignInput = {
    name,
    title: 'Two seeds',
    factors: {
      family: ['gpt-neox'],
      size: [{ name: 's', layers: 1, hiddenSize: 16, heads: 2 }],
      language: [{ name: 'en', language: 'eng', script: 'Latn', corpusId }],
      tokenizer: [{ name: 'bytes', kind: 'byte', vocabSize: 258 }],
      initialisationSeed: [1, 2],
      dataOrderSeed: [1],
      steps: [8],
    },
    training: { contextTokens: 16, batchSize: 2, learningRate: 0.001 },
    resources: { gpus: 1, maxSecondsPerModel: 100 },
  };
  const suiteId = newId('Suite');
  await at.transactor.do((tx) =>
    tx.record('round.decided', {
      roundId: newId('Round'),
      certificateSha256: sha256('certificate'),
      decidedAt: new Date().toISOString(),
      adopted: [
        {
          proposalId: newId('Proposal'),
          suiteId,
          labId: at.labId,
          title: design.title,
          gpuSeconds: 200,
          design: suiteDesignSchema.parse(design),
        },
      ],
    }),
  );
  await learn();
  return suiteId;
}

/** GPU-seconds for the suite, and as many for operations. */
async function fund(suiteId: string, gpuSeconds: number): Promise<void> {
  const roundId = newId('Round');
  await at.transactor.do(async (tx) => {
    const pledges = [{ labId: at.labId, gpuSeconds: gpuSeconds + 10_000 }];
    await at.service.app.get(FundRound, { strict: false }).execute(tx, { roundId, pledges });
    const adopted = [{ proposalId: newId('Proposal'), suiteId, gpuSeconds }];
    await at.service.app.get(ReserveSuites, { strict: false }).execute(tx, { roundId, adopted });
  });
}

const learn = () => deliverAll(at.transactor, catalogueConsumer);

it('a suite is trained within its reservation, its models evaluated and served, each asked for twice', async () => {
  const corpusId = await corpus('train');
  const trainOf = (suiteId: string) => at.researcher.call(trainSuite, { params: { suiteId }, body: {} });
  const poor = await suite('too-poor', corpusId);
  expect(await refusal(trainOf(poor))).toBe('scheduling.insufficient-reservation');
  // Each of the two jobs holds its estimate of 31 GPU-seconds: all or none.
  await fund(poor, 61);
  expect(await refusal(trainOf(poor))).toBe('scheduling.insufficient-reservation');
  expect(await at.transactor.read.rows('SELECT 1 FROM scheduling.job')).toEqual([]);
  const suiteId = await suite('two-seeds', corpusId);
  await fund(suiteId, 62);
  const train = () => trainOf(suiteId);
  const { jobs } = await train();
  expect(jobs).toHaveLength(2);
  expect(jobs.every((job) => job.created && job.modelId !== null)).toBe(true);
  const again = await train();
  expect(new Set(again.jobs.map((job) => job.jobId))).toEqual(new Set(jobs.map((job) => job.jobId)));
  expect(again.jobs.some((job) => job.created)).toBe(false);

  // Two evaluations of the second one are asked for before it is trained; one names a revision that there will not be.
  const untrained = { params: { modelId: present(jobs[1]?.modelId, 'a model') } };
  expect(await refusal(at.researcher.call(evaluateModel, { ...untrained, body: {} }))).toBe(
    'catalogue.not-loadable',
  );
  const [ahead] = (await at.researcher.call(evaluateModel, { ...untrained, body: { whenTrained: true } }))
    .jobs;
  const aheadId = present(ahead?.jobId, 'a job');
  const [vain] = (
    await at.researcher.call(evaluateModel, {
      ...untrained,
      body: { whenTrained: true, revisions: ['step7'] },
    })
  ).jobs;
  expect(await at.job(aheadId)).toMatchObject({
    blockedBy: 2,
    follows: [{ jobId: jobs[1]?.jobId }],
  });

  // The same for the whole suite, which is said once.
  const evaluateAll = (body: object) =>
    at.researcher.call(evaluateSuite, { params: { suiteId }, body: { requestKey: 'both seeds', ...body } });
  expect(await evaluateAll({ headScores: false })).toMatchObject({
    jobs: [],
    leftOut: jobs.map(() => ({ reason: expect.stringContaining('nothing to evaluate') })),
  });
  const both = await evaluateAll({});
  expect(both.leftOut).toEqual([]);
  expect(new Set(both.jobs.map((job) => job.modelId))).toEqual(new Set(jobs.map((job) => job.modelId)));
  expect((await evaluateAll({})).jobs).toEqual(both.jobs.map((job) => ({ ...job, created: false })));
  expect(await refusal(at.researcher.call(evaluateSuite, { params: { suiteId: poor }, body: {} }))).toBe(
    'catalogue.not-loadable',
  );

  for (const { jobId } of jobs) {
    const { ref, assignment } = await agent.begin(jobId);
    expect(assignment.runner).toMatchObject({ kind: 'train', training: { steps: 8 } });
    const [input] = assignment.inputs;
    expect(await (await fetch(input?.url ?? '')).text()).toContain('born free');
    const weights = `weights of ${jobId}`;
    const file = { path: 'model.safetensors', sizeBytes: weights.length, sha256: sha256(weights) };
    const body = { incarnation: agent.incarnation };
    const { files } = await agent.client.call(requestUploads, {
      params: ref,
      body: { ...body, files: [file] },
    });
    const upload = present(files[0]?.upload, 'leave to upload');
    await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: weights });
    await agent.client.call(commitCheckpoint, {
      params: ref,
      body: {
        ...body,
        step: 8,
        revision: 'step8',
        tokensSeen: 1,
        bytesSeen: 1,
        loss: 1,
        weightsSha256: file.sha256,
        chainSha256: sha256('chain'),
        files: [file],
      },
    });
    await agent.report(ref, 'succeeded');
  }
  // Its training has succeeded, and the catalogue has not heard of it.
  expect(await at.job(aheadId)).toMatchObject({ state: 'queued', blockedBy: 1 });
  await learn();
  const evaluated = await agent.begin(aheadId);
  expect(evaluated.assignment.runner).toMatchObject({ kind: 'evaluate', revisions: [{ revision: 'step8' }] });
  expect(evaluated.assignment.inputs.map((input) => input.path)).toEqual([
    'revisions/step8/model.safetensors',
  ]);
  await agent.report(evaluated.ref, 'succeeded');
  expect(await at.job(present(vain?.jobId, 'a job'))).toMatchObject({
    state: 'failed',
    reason: expect.stringContaining('has no revision step7'),
  });

  const modelId = present(jobs[0]?.modelId, 'a model');
  const heldOut = [{ corpusId: await corpus('held out'), language: 'eng', script: 'Latn' }];
  const evaluate = () =>
    at.researcher.call(evaluateModel, { params: { modelId }, body: { heldOut, requestKey: 'first study' } });
  const [evaluation] = (await evaluate()).jobs;
  const jobId = present(evaluation?.jobId, 'a job');
  expect((await evaluate()).jobs).toEqual([{ jobId, modelId, created: false }]);
  const { ref, assignment } = await agent.begin(jobId);
  expect(assignment.runner).toMatchObject({
    kind: 'evaluate',
    revisions: [{ revision: 'step8', path: 'revisions/step8' }],
  });
  expect(assignment.inputs.map((input) => input.path).sort()).toEqual([
    'revisions/step8/model.safetensors',
    `texts/${heldOut[0]?.corpusId}.txt`,
  ]);
  const estimate = { value: 2, low: 1.9, high: 2.1, level: 0.95 };
  const result = {
    task: 'bitsPerByte' as const,
    id: 'held',
    language: 'eng',
    script: 'Latn',
    bitsPerByte: estimate,
    bytes: 10,
    tokens: 5,
    sha256: sha256('x'),
    objective: 'causal' as const,
  };
  const receipt = {
    revision: 'step8',
    weightsSha256: sha256('w'),
    tokenizerSha256: sha256('t'),
    codeVersion: '1',
    torchVersion: '2',
    transformersVersion: '5',
    dtype: 'float32',
    device: 'cpu',
    threads: 1,
    deterministic: true,
    batchInvariant: true,
  };
  const report = () =>
    agent.client.call(commitEvaluation, {
      params: ref,
      body: { incarnation: agent.incarnation, revision: 'step8', results: [result], receipt },
    });
  expect(await report()).toEqual({ committed: true });
  expect(await report()).toEqual({ committed: false });
  await agent.report(ref, 'succeeded');
  await learn();
  const known = await at.transactor.read.rows('SELECT 1 FROM catalogue.evaluation WHERE model_id = $1', [
    modelId,
  ]);
  expect(known).toHaveLength(1);

  const serve = () => at.researcher.call(serveModel, { params: { modelId }, body: { maxSeconds: 600 } });
  const served = await Promise.all([serve(), serve(), serve()]);
  expect(new Set(served.flatMap((one) => one.jobs.map((job) => job.jobId))).size).toBe(1);
  expect(served.flatMap((one) => one.jobs.filter((job) => job.created))).toHaveLength(1);
}, 60_000);
