import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type JobView,
  listJobEvents,
  listModels,
  listRevisions,
  type ModelView,
  showJob,
  showModel,
  submitJob,
} from '@beamtime/contracts';
import type { Fault, World } from '../world.js';

const controlTimeoutMs = 180_000;
const loadTimeoutMs = 120_000;
const pollMs = 500;

/** Trains the interrupted model once more, from the same job file, without any disturbance. */
export async function submitControl(world: World, interrupted: JobView): Promise<string> {
  const lab = world.labs[0];
  if (lab === undefined) throw new Error('the demo has labs');
  const { runner, resources } = await lab.researcher.api.call(showJob, {
    params: { jobId: interrupted.jobId },
  });
  const { jobId: _jobId, attempt: _attempt, schema: _schema, ...template } = runner;
  const corpora = (template['data'] as { corpora: { id: string; path: string }[] }).corpora;
  const control = await lab.researcher.api.call(submitJob, {
    body: {
      labId: lab.labId,
      name: `undisturbed control of ${interrupted.name}`.slice(0, 200),
      runner: template,
      inputs: corpora.map(({ id, path }) => ({ path, corpusId: id })),
      resources,
      requestKey: `control-${interrupted.jobId}`,
    },
  });
  return control.jobId;
}

/** The models with factors and revisions, the proof of the exact restart, and one loaded by plain transformers. */
export async function showCatalogue(world: World, suiteId: string, fault: Fault): Promise<ModelView[]> {
  const { narrator } = world;
  narrator.chapter('The catalogue');
  const models = await readyModels(world, suiteId);
  narrator.table(
    ['model', 'family', 'parameters', 'language', 'seed', 'tokens', 'revisions'],
    models.map((m) => [
      m.name,
      m.factors.family ?? '',
      (m.factors.parameters ?? 0).toLocaleString('en'),
      `${m.factors.language}-${m.factors.script}`,
      String(m.factors.initialisationSeed),
      (m.factors.tokens ?? 0).toLocaleString('en'),
      String(m.revisions),
    ]),
  );
  await compareWithControl(world, models, fault);
  const [first] = models;
  if (first === undefined) throw new Error('the suite has models');
  const { items } = await world.api.call(listRevisions, { params: { model: first.modelId } });
  const middle = items[Math.floor(items.length / 2)]?.revision ?? 'main';
  const loaded = await loadWithTransformers(world, first.hubId, middle);
  narrator.check(
    '`from_pretrained` of transformers loads a revision from the store',
    loaded.parameters === first.factors.parameters,
    `${first.hubId}, revision ${middle}: ${loaded.class}, ${loaded.parameters.toLocaleString('en')} parameters`,
  );
  world.report['models'] = models;
  return models;
}

/** The suite's models once the catalogue has taken in that they are trained: facts arrive a moment after the jobs end. */
async function readyModels(world: World, suiteId: string): Promise<ModelView[]> {
  const deadlineMs = Date.now() + 30_000;
  for (;;) {
    const { items } = await world.api.call(listModels, { query: { suiteId, limit: 500 } });
    if (items.length > 0 && items.every((m) => m.state === 'ready')) return items;
    if (Date.now() > deadlineMs) throw new Error(`models are ${items.map((m) => m.state).join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function compareWithControl(world: World, models: readonly ModelView[], fault: Fault): Promise<void> {
  const { narrator } = world;
  const { controlJobId } = fault;
  const api = world.labs[0]?.researcher.api ?? world.api;
  const model = models.find((m) => m.modelId === fault.job.modelId);
  if (model === undefined) throw new Error('the interrupted job trained a model of the suite');
  const progress = narrator.progress('the same model without the fault');
  const deadlineMs = Date.now() + controlTimeoutMs;
  let control = await api.call(showJob, { params: { jobId: controlJobId } });
  while (control.state !== 'succeeded') {
    if (control.state === 'failed' || control.state === 'cancelled')
      throw new Error(`the control ${control.state}: ${control.reason}`);
    if (Date.now() > deadlineMs) throw new Error(`the control is still ${control.state}`);
    progress.update(control.progress?.fraction ?? 0);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    control = await api.call(showJob, { params: { jobId: controlJobId } });
  }
  progress.done();
  const undisturbed = await finalWeights(api, controlJobId);
  const { items } = await world.api.call(listRevisions, { params: { model: model.modelId } });
  const interrupted =
    items.find((r) => r.step === Math.max(...items.map((i) => i.step)))?.weightsSha256 ?? '';
  narrator.fact('interrupted and resumed', `sha256 ${interrupted}`);
  narrator.fact('undisturbed', `sha256 ${undisturbed}`);
  narrator.check(
    'a killed and resumed training gives the same weights, bit for bit',
    interrupted !== '' && interrupted === undisturbed,
    model.name,
  );
  const { provenance } = await world.api.call(showModel, { params: { model: model.modelId } });
  narrator.check('no checkpoint was made twice with other bits', provenance.divergences.length === 0);
  world.report['exactRestart'] = { model: model.name, interrupted, undisturbed, controlJobId };
}

/** The weights of the last checkpoint in the history of a job. */
async function finalWeights(api: World['api'], jobId: string): Promise<string> {
  const { items } = await api.call(listJobEvents, { params: { jobId }, query: { limit: 1_000 } });
  const checkpoints = items.flatMap((event) => {
    const match = /^step (\d+), weights ([0-9a-f]{64})$/.exec(event.reason ?? '');
    return match === null ? [] : [{ step: Number(match[1]), sha256: match[2] ?? '' }];
  });
  return checkpoints.sort((a, b) => b.step - a.step)[0]?.sha256 ?? '';
}

/** Plain transformers in a Python process of its own, which knows nothing but HF_ENDPOINT. */
async function loadWithTransformers(
  world: World,
  hubId: string,
  revision: string,
): Promise<{ class: string; parameters: number }> {
  const { repositoryDir, demoDir } = world.options;
  const script = [
    'import json, sys, warnings; warnings.filterwarnings("ignore")',
    'from transformers import AutoModelForCausalLM, AutoTokenizer',
    'model = AutoModelForCausalLM.from_pretrained(sys.argv[1], revision=sys.argv[2])',
    'tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], revision=sys.argv[2])',
    'assert tokenizer("x").input_ids',
    'print(json.dumps({"class": type(model).__name__, "parameters": model.num_parameters()}))',
  ].join('\n');
  const { stdout } = await promisify(execFile)(
    join(repositoryDir, '.beamtime/venv/bin/python'),
    ['-c', script, hubId, revision],
    {
      timeout: loadTimeoutMs,
      env: {
        ...process.env,
        HF_ENDPOINT: world.facilityUrl,
        HF_HOME: join(demoDir, 'huggingface'),
        HF_HUB_DISABLE_TELEMETRY: '1',
        HF_HUB_DISABLE_XET: '1',
        HF_HUB_DISABLE_PROGRESS_BARS: '1',
      },
    },
  );
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { class: string; parameters: number };
}
