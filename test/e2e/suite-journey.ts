import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type ApiClient,
  createApiClient,
  createLab,
  createStudy,
  createSuite,
  lendToOperations,
  listEvaluations,
  listJobs,
  listNeighbours,
  listRevisions,
  ProblemError,
  planSuite,
  registerCluster,
  registerCorpus,
  type SuiteDesignInput,
  showCluster,
  showConfounding,
  showModel,
  showStudy,
  trainSuite,
  uploadCorpus,
} from '@beamtime/contracts';
import { present } from '@beamtime/kernel';
import { expect, vi } from 'vitest';
import { AgentProcess } from '../../apps/scheduler/src/agent-process.js';

const python = fileURLToPath(new URL('../../.beamtime/venv/bin/python', import.meta.url));
const cli = fileURLToPath(new URL('../../apps/cli/bin/beamtime.mjs', import.meta.url));

export type SuiteChange = Partial<SuiteDesignInput['factors']>;

/** Why the runner cannot be run here; null when it can. `npm test` sets it up first. */
export const noRunner = existsSync(python) ? null : 'the Python environment has not been set up';

/** A job starts Python and torch, on a machine that may be busy. */
const jobsTimeoutMs = 400_000;

const words = 'the cat sat on a mat and saw every dog run home to eat some bread'.split(' ');
const sentence = (from: number): string =>
  Array.from({ length: 6 }, (_, i) => words[(from + i * i) % words.length]).join(' ');
const text = Array.from({ length: 3_000 }, (_, i) => `${sentence(7 * i)}.\n`).join('');
/** The same length, in letters that the text does not have. */
const pairs = Array.from({ length: 20 }, (_, i) =>
  JSON.stringify({
    sentence_good: sentence(i),
    sentence_bad: sentence(i).replace(/[a-z]/g, 'Q'),
    UID: `agreement-${i}`,
  }),
).join('\n');

/** A suite from the lab that enters it to what its evaluation found, at a facility that runs, with one real agent. */
export class SuiteJourney {
  private agent: AgentProcess | undefined;
  private labId = '';
  private suiteId = '';
  private corpusId = '';

  private readonly client: ApiClient;

  /** @param token of the secretariat. */
  constructor(
    private readonly token: string,
    private readonly url: string,
    private readonly stateDir: string,
  ) {
    this.client = createApiClient(url).as(token);
  }

  /** A lab with a cluster of real programs, GPU time, a text, and a suite that says only what it has to. */
  async begin(): Promise<void> {
    const lab = await this.client.call(createLab, { body: { slug: 'suite-lab', name: 'Suite lab' } });
    this.labId = lab.labId;
    const { cluster, agentKey } = await this.client.call(registerCluster, {
      body: { labId: this.labId, name: 'suite-cluster' },
    });
    const command = [python, '-m', 'beamtime_runner'];
    this.agent = new AgentProcess(cluster.clusterId, this.url, agentKey, 'cpu', command).start();
    const params = { clusterId: cluster.clusterId };
    await vi.waitUntil(async () => (await this.client.call(showCluster, { params })).state === 'active', {
      timeout: 60_000,
      interval: 200,
    });
    await this.client.call(lendToOperations, {
      body: { loanId: 'suite-journey', labId: this.labId, gpuSeconds: 1_000_000, reason: 'a test' },
    });
    this.corpusId = await this.corpus('cats', text, 'text');
    const entered = await this.client.call(createSuite, {
      body: { design: this.design([{ size: 'm', initialisationSeed: 1 }]), labId: this.labId },
    });
    this.suiteId = entered.suiteId;
  }

  async end(): Promise<void> {
    await this.agent?.remove();
  }

  private design(exclude: SuiteDesignInput['exclude'], change: SuiteChange = {}): SuiteDesignInput {
    return {
      name: 'omitted',
      title: 'What is not said',
      factors: {
        family: ['gpt-neox'],
        size: [
          { name: 's', layers: 1, hiddenSize: 16, heads: 2 },
          { name: 'm', layers: 2, hiddenSize: 16, heads: 2 },
        ],
        language: [{ name: 'eng', language: 'eng', script: 'Latn', corpusId: this.corpusId }],
        tokenizer: [{ name: 'bytes', kind: 'byte' }],
        initialisationSeed: [1, 2],
        dataOrderSeed: [1],
        steps: [40],
        ...change,
      },
      exclude,
      training: { contextTokens: 32, batchSize: 4, learningRate: 0.01 },
      checkpoints: [0, 40],
      resources: { maxSecondsPerModel: 3_600 },
    };
  }

  plan(exclude: SuiteDesignInput['exclude'], change: SuiteChange = {}) {
    return this.client.call(planSuite, { body: this.design(exclude, change) });
  }

  /** Why a suite is not trained whose tokenizer wants more tokens than its text could give. */
  async trainTooManyTokens(): Promise<string> {
    const tokenizer = [{ name: 'large', kind: 'bpe' as const, vocabSize: 999_999 }];
    const design = { ...this.design([], { tokenizer }), name: 'too-many' };
    const { suiteId } = await this.client.call(createSuite, { body: { design, labId: this.labId } });
    try {
      await this.client.call(trainSuite, { params: { suiteId }, body: {} });
    } catch (error) {
      if (error instanceof ProblemError) return error.problem.detail;
    }
    return 'not refused';
  }

  private async corpus(name: string, content: string, format: 'text' | 'pairs'): Promise<string> {
    const bytes = Buffer.from(content);
    const { corpus } = await this.client.call(registerCorpus, {
      body: {
        name,
        language: 'eng',
        script: 'Latn',
        format,
        sizeBytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      },
    });
    const { corpusId } = corpus;
    await this.client.raw(uploadCorpus, { params: { corpusId }, body: new Uint8Array(bytes) });
    return corpusId;
  }

  /** Trains the suite to its end; until then the models are planned. */
  async train(): Promise<void> {
    await this.client.call(trainSuite, { params: { suiteId: this.suiteId }, body: {} });
    const states = async () =>
      (await this.client.call(listJobs, { query: { suiteId: this.suiteId, limit: 10 } })).items.map(
        (job) => `${job.name} ${job.state} ${job.reason ?? ''}`,
      );
    await expect
      .poll(states, { timeout: jobsTimeoutMs, interval: 500 })
      .toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/ (succeeded|failed|cancelled) /)));
    expect(await states()).toEqual(Array.from({ length: 3 }, () => expect.stringContaining(' succeeded ')));
    // The catalogue hears of it by facts.
    for (const name of ['omitted-neox-s-eng-s1', 'omitted-neox-s-eng-s2', 'omitted-neox-m-eng-s2'])
      await expect.poll(async () => (await this.model(name)).state, { timeout: 60_000 }).toBe('ready');
  }

  model(model: string) {
    return this.client.call(showModel, { params: { model } });
  }

  async lastRevision(model: string) {
    const { items } = await this.client.call(listRevisions, { params: { model } });
    return present(items.at(-1), 'a revision');
  }

  /** Name, state, factor, and the levels here and there. */
  async neighbours(model: string): Promise<string[][]> {
    const { items } = await this.client.call(listNeighbours, { params: { model } });
    return items.map((one) => [one.name, one.state, one.factor, one.from, one.to]);
  }

  confounding(models: string[]) {
    return this.client.call(showConfounding, { body: { models } });
  }

  /** A study of one model on minimal pairs, its own text and its heads; what the catalogue has of it at the end. */
  async evaluate(model: string) {
    const pairsId = await this.corpus('agreement', pairs, 'pairs');
    const { studyId } = await this.client.call(createStudy, {
      body: {
        title: 'Agreement',
        models: [model],
        heldOut: [this.corpusId],
        minimalPairs: [pairsId],
      },
    });
    await expect
      .poll(async () => (await this.client.call(showStudy, { params: { studyId } })).state, {
        timeout: jobsTimeoutMs,
        interval: 500,
      })
      .not.toBe('running');
    expect(await this.client.call(showStudy, { params: { studyId } })).toMatchObject({ state: 'complete' });
    return (await this.client.call(listEvaluations, { params: { model }, query: { limit: 10 } })).items;
  }

  /** What the command line says to somebody who has logged in, or has not. */
  beamtime(argv: readonly string[], loggedIn = true): string {
    return execFileSync(process.execPath, [cli, ...argv], {
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        BEAMTIME_HOME: this.stateDir,
        BEAMTIME_URL: this.url,
        ...(loggedIn ? { BEAMTIME_TOKEN: this.token } : {}),
      },
    });
  }
}
