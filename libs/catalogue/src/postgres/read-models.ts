import {
  type FileEntry,
  hubNamespace,
  type ModelFactors,
  type ModelState,
  type ModelView,
  modelFactorsSchema,
} from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import type { Factors } from '@beamtime/suites';
import type { ComparableModel } from '../domain/describe-model.js';
import { type Viewer, visibleModels } from '../viewer.js';

export interface ModelRecord {
  id: string;
  name: string;
  state: ModelState;
  reason: string | null;
  visibility: 'public' | 'private';
  suite_id: string | null;
  round_id: string | null;
  proposal_id: string | null;
  certificate_sha256: string | null;
  lab_id: string | null;
  source: string | null;
  upstream: string | null;
  upstream_model: string | null;
  created_by: string;
  levels: Factors | null;
  factors: unknown;
  resolved: Record<string, unknown> | null;
  announced: unknown;
  job_id: string | null;
  attempts: number | null;
  gpu_seconds: string | null;
  created_at: Date;
  ready_at: Date | null;
  revisions: number;
  last_step: number | null;
}

export interface ModelFilter {
  /** Ids or names. */
  readonly models?: readonly string[];
  readonly suiteId?: string;
  readonly state?: string;
  readonly namePart?: string;
  /** Levels that the factors must have. */
  readonly factors?: Readonly<Record<string, unknown>>;
  readonly withWeights?: boolean;
  /** Only names after this one. */
  readonly after?: string;
  readonly limit?: number;
}

/** Models that the viewer may see, by name. */
export async function readModels(tx: Tx, viewer: Viewer, filter: ModelFilter): Promise<ModelRecord[]> {
  const visible = visibleModels(viewer, 9);
  return tx.rows<ModelRecord>(
    `SELECT m.*, s.round_id, s.proposal_id, s.certificate_sha256, r.revisions, r.last_step
     FROM catalogue.model m
     LEFT JOIN catalogue.suite s ON s.id = m.suite_id
     LEFT JOIN LATERAL (
       SELECT count(*)::int AS revisions, max(step) AS last_step FROM catalogue.revision WHERE model_id = m.id
     ) r ON true
     WHERE ($1::text[] IS NULL OR m.id = ANY($1) OR m.name_key = ANY($2))
       AND ($3::text IS NULL OR m.suite_id = $3) AND ($4::text IS NULL OR m.state = $4)
       AND ($5::text IS NULL OR strpos(m.name_key, lower($5)) > 0) AND m.factors @> $6::jsonb
       AND ($7::text IS NULL OR m.name_key > $7) AND (NOT $8::boolean OR r.revisions > 0) AND ${visible.sql}
     ORDER BY m.name_key LIMIT ${filter.limit ?? 10_000}`,
    [
      filter.models ?? null,
      filter.models?.map((one) => one.toLowerCase()) ?? null,
      filter.suiteId ?? null,
      filter.state ?? null,
      filter.namePart ?? null,
      JSON.stringify(filter.factors ?? {}),
      filter.after ?? null,
      filter.withWeights ?? false,
      ...visible.parameters,
    ],
  );
}

export function factorsOf(record: Pick<ModelRecord, 'factors'>): ModelFactors {
  return modelFactorsSchema.parse(record.factors);
}

export function hubIdOf(name: string): string {
  return `${hubNamespace}/${name}`;
}

export function modelView(record: ModelRecord): ModelView {
  return {
    modelId: record.id,
    name: record.name,
    hubId: hubIdOf(record.name),
    state: record.state,
    reason: record.reason,
    visibility: record.visibility,
    suiteId: record.suite_id,
    roundId: record.round_id,
    proposalId: record.proposal_id,
    labId: record.lab_id,
    jobId: record.job_id,
    factors: factorsOf(record),
    revisions: record.revisions,
    lastStep: record.last_step,
    gpuSeconds: record.gpu_seconds === null ? null : Number(record.gpu_seconds),
    createdAt: record.created_at.toISOString(),
    readyAt: record.ready_at?.toISOString() ?? null,
  };
}

export function comparable(record: ModelRecord): ComparableModel {
  return {
    name: record.name,
    suiteId: record.suite_id,
    levels: record.levels,
    factors: factorsOf(record),
    resolved: record.resolved !== null || record.suite_id === null,
  };
}

export interface RevisionRecord {
  model_id: string;
  step: number;
  commit: string;
  tokens_seen: string | null;
  bytes_seen: string | null;
  loss: number | null;
  weights_sha256: string | null;
  chain_sha256: string | null;
  files: FileEntry[];
  size_bytes: string;
  job_id: string | null;
  attempt: number | null;
  cluster_id: string | null;
  committed_at: Date;
}

export async function readRevisions(tx: Tx, modelId: string): Promise<RevisionRecord[]> {
  return tx.rows('SELECT * FROM catalogue.revision WHERE model_id = $1 ORDER BY step', [modelId]);
}

/** One revision by what a person may call it: `main` (the last one), `step1000`, or its commit. */
export async function findRevision(
  tx: Tx,
  modelId: string,
  name: string,
): Promise<RevisionRecord | undefined> {
  const step = /^step(\d{1,9})$/.exec(name)?.[1];
  if (name === 'main') {
    return tx.row('SELECT * FROM catalogue.revision WHERE model_id = $1 ORDER BY step DESC LIMIT 1', [
      modelId,
    ]);
  }
  if (step !== undefined) {
    return tx.row('SELECT * FROM catalogue.revision WHERE model_id = $1 AND step = $2', [
      modelId,
      Number(step),
    ]);
  }
  return tx.row(
    'SELECT * FROM catalogue.revision WHERE model_id = $1 AND commit = $2 ORDER BY step DESC LIMIT 1',
    [modelId, name],
  );
}
