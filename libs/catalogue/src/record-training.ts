import { createHash } from 'node:crypto';
import {
  type FactOf,
  type FileEntry,
  type ModelFactors,
  modelFactorsSchema,
  resolvedEvent,
} from '@beamtime/contracts';
import { invariant, statesBefore } from '@beamtime/kernel';
import type { FactConsumer, Tx } from '@beamtime/platform';
import { adoptSuite } from './adopt-suite.js';
import { modelLifecycle } from './domain/lifecycles.js';
import { factorsOf } from './postgres/read-models.js';

/**
 * What the catalogue learns from other contexts: a round adopted suites, a run resolved its options, a checkpoint was
 * committed, a job ended, an evaluation was reported. Each handler may run twice without harm.
 */
export const catalogueConsumer: FactConsumer = {
  name: 'catalogue',
  handlers: {
    'round.decided': ({ payload }, tx) => enterAdopted(tx, payload),
    'attempt.resolved': ({ payload }, tx) => recordResolved(tx, payload),
    'attempt.checkpoint-committed': ({ payload }, tx) => recordRevision(tx, payload),
    'job.ended': ({ payload }, tx) => recordEnd(tx, payload),
    'evaluation.reported': ({ payload }, tx) => recordEvaluation(tx, payload),
  },
};

async function enterAdopted(tx: Tx, fact: FactOf<'round.decided'>): Promise<void> {
  for (const adopted of fact.adopted) {
    const entered = await adoptSuite(tx, {
      suiteId: adopted.suiteId,
      design: adopted.design,
      origin: 'round',
      roundId: fact.roundId,
      proposalId: adopted.proposalId,
      labId: adopted.labId,
      certificateSha256: fact.certificateSha256,
      gpuSecondsReserved: adopted.gpuSeconds,
      actor: 'catalogue',
    });
    invariant(entered.ok, `an adopted suite was checked when it was proposed: ${adopted.suiteId}`);
  }
}

async function enterState(
  tx: Tx,
  modelId: string,
  jobId: string,
  to: 'training' | 'ready' | 'failed',
): Promise<boolean> {
  const changed = await tx.changed(
    `UPDATE catalogue.model SET state = $3, job_id = $2,
       ready_at = CASE WHEN $3 = 'ready' THEN now() ELSE ready_at END
     WHERE id = $1 AND state = ANY($4)`,
    [modelId, jobId, to, statesBefore(modelLifecycle, to)],
  );
  return changed === 1;
}

async function recordResolved(tx: Tx, fact: FactOf<'attempt.resolved'>): Promise<void> {
  await enterState(tx, fact.modelId, fact.jobId, 'training');
  const model = await tx.row<{ factors: unknown }>(
    `SELECT factors FROM catalogue.model WHERE id = $1 AND suite_id IS NOT NULL FOR UPDATE`,
    [fact.modelId],
  );
  if (model === undefined) return;
  const factors = resolvedFactors(factorsOf(model), fact.resolved);
  await tx.changed('UPDATE catalogue.model SET factors = $2, resolved = $3 WHERE id = $1', [
    fact.modelId,
    JSON.stringify(factors),
    JSON.stringify(fact.resolved),
  ]);
}

const resolvedParts = resolvedEvent.pick({
  model: true,
  tokenizer: true,
  data: true,
  seeds: true,
  training: true,
});

/** The factors as the run used them, in place of those that the design asked for. */
export function resolvedFactors(
  planned: ModelFactors,
  resolved: Readonly<Record<string, unknown>>,
): ModelFactors {
  const parsed = resolvedParts.strip().safeParse(resolved);
  if (!parsed.success) return planned;
  const { model, tokenizer, data, seeds, training } = parsed.data;
  const trainedOn = data.corpora.filter((corpus) => corpus.share > 0);
  const [only] = trainedOn;
  return modelFactorsSchema.parse({
    ...planned,
    family: model.family,
    layers: model.layers,
    hiddenSize: model.hiddenSize,
    heads: model.heads,
    intermediateSize: model.intermediateSize,
    contextTokens: model.contextTokens,
    vocabSize: model.vocabSize,
    parameters: model.parameters,
    parametersWithoutEmbeddings: model.parametersWithoutEmbeddings,
    objective: model.objective,
    tieEmbeddings: model.tieEmbeddings,
    tokenizerKind: tokenizer.kind,
    tokenizerSha256: tokenizer.sha256,
    dataManifestSha256: data.manifestSha256,
    tokens: data.tokens,
    epochs: trainedOn.length === 1 ? (only?.epochs ?? null) : null,
    initialisationSeed: seeds.initialisation,
    dataOrderSeed: seeds.dataOrder,
    steps: training.steps,
    batchSequences: training.batchSequences,
    learningRate: training.learningRate,
    minimumLearningRateRatio: training.minimumLearningRateRatio,
    schedule: training.schedule,
    warmupSteps: training.warmupSteps,
    weightDecay: training.weightDecay,
    beta1: training.beta1,
    beta2: training.beta2,
    epsilon: training.epsilon,
    gradientClip: training.gradientClip,
    maskProbability: model.objective === 'masked' ? training.maskProbability : null,
    dtype: training.dtype,
  });
}

/** Forty hexadecimal digits, as git and the hub have them, that name exactly this revision with these files. */
export function commitOf(modelId: string, step: number, files: readonly FileEntry[]): string {
  const lines = [...files].map((file) => `${file.path} ${file.sha256}`).sort();
  return createHash('sha256')
    .update([modelId, step, ...lines].join('\n'))
    .digest('hex')
    .slice(0, 40);
}

async function recordRevision(tx: Tx, fact: FactOf<'attempt.checkpoint-committed'>): Promise<void> {
  await enterState(tx, fact.modelId, fact.jobId, 'training');
  const known = await tx.row<{ job_id: string; weights_sha256: string | null; state: string }>(
    `SELECT r.job_id, r.weights_sha256, m.state FROM catalogue.revision r JOIN catalogue.model m ON m.id = r.model_id
     WHERE r.model_id = $1 AND r.step = $2`,
    [fact.modelId, fact.step],
  );
  if (known?.job_id === fact.jobId || known?.state === 'ready') {
    if (known.weights_sha256 !== fact.weightsSha256) await recordDivergence(tx, fact);
    return;
  }
  const sizeBytes = fact.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  // A model that failed and is trained by another job replaces what the failed one left.
  await tx.rows(
    `INSERT INTO catalogue.revision (model_id, step, commit, tokens_seen, bytes_seen, loss, weights_sha256,
       chain_sha256, files, size_bytes, job_id, attempt, cluster_id, committed_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
     ON CONFLICT (model_id, step) DO UPDATE SET commit = $3, tokens_seen = $4, bytes_seen = $5, loss = $6,
       weights_sha256 = $7, chain_sha256 = $8, files = $9, size_bytes = $10, job_id = $11, attempt = $12,
       cluster_id = $13, committed_at = $14`,
    [
      fact.modelId,
      fact.step,
      commitOf(fact.modelId, fact.step, fact.files),
      fact.tokensSeen,
      fact.bytesSeen,
      fact.loss,
      fact.weightsSha256,
      fact.chainSha256 ?? null,
      JSON.stringify(fact.files),
      sizeBytes,
      fact.jobId,
      fact.attempt,
      fact.clusterId,
      fact.at,
    ],
  );
}

async function recordDivergence(tx: Tx, fact: FactOf<'attempt.checkpoint-committed'>): Promise<void> {
  await tx.rows(
    `INSERT INTO catalogue.divergence (model_id, step, job_id, attempt, weights_sha256)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
    [fact.modelId, fact.step, fact.jobId, fact.attempt, fact.weightsSha256],
  );
}

async function recordEnd(tx: Tx, fact: FactOf<'job.ended'>): Promise<void> {
  if (fact.kind !== 'train' || fact.modelId === null) return;
  const revision = await tx.row<{ bytes_seen: string | null; tokens_seen: string | null }>(
    `SELECT bytes_seen, tokens_seen FROM catalogue.revision WHERE model_id = $1 ORDER BY step DESC LIMIT 1`,
    [fact.modelId],
  );
  const succeeded = fact.state === 'succeeded' && revision !== undefined;
  const entered = await enterState(tx, fact.modelId, fact.jobId, succeeded ? 'ready' : 'failed');
  await tx.record('model.training-recorded', { modelId: fact.modelId, jobId: fact.jobId });
  if (!entered) return;
  const reason = succeeded ? null : (fact.reason ?? `the job ${fact.state}`);
  const seen = succeeded ? { bytes: Number(revision.bytes_seen), tokens: Number(revision.tokens_seen) } : {};
  await tx.changed(
    `UPDATE catalogue.model SET reason = $2, attempts = $3, factors = factors || $5::jsonb,
       gpu_seconds = coalesce(gpu_seconds, 0) + $4 WHERE id = $1`,
    [fact.modelId, reason, fact.attempts, fact.gpuSecondsUsed, JSON.stringify(seen)],
  );
}

async function recordEvaluation(tx: Tx, fact: FactOf<'evaluation.reported'>): Promise<void> {
  const { evaluations, receipt } = fact.results;
  await tx.rows(
    `INSERT INTO catalogue.evaluation (job_id, model_id, step, study_id, results, receipt, reported_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
    [
      fact.jobId,
      fact.modelId,
      fact.step,
      fact.studyId,
      JSON.stringify(evaluations),
      receipt === null ? null : JSON.stringify(receipt),
      fact.at,
    ],
  );
}
