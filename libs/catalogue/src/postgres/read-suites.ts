import type { SuiteView } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import { type ModelLifecycleState, suiteState } from '../domain/lifecycles.js';

interface SuiteRecord {
  id: string;
  name: string;
  title: string;
  origin: 'round' | 'secretariat';
  round_id: string | null;
  proposal_id: string | null;
  lab_id: string | null;
  certificate_sha256: string | null;
  gpu_seconds_reserved: string;
  gpu_seconds_used: string;
  models: Partial<Record<ModelLifecycleState, number>> | null;
  created_at: Date;
}

export interface SuiteFilter {
  readonly ids?: readonly string[];
  readonly roundId?: string;
  /** Only suites older than this id. */
  readonly before?: string;
  readonly limit?: number;
}

/** Suites with the states of their models counted, newest first. */
export async function suiteViews(tx: Tx, filter: SuiteFilter): Promise<SuiteView[]> {
  const records = await tx.rows<SuiteRecord>(
    `SELECT s.*, c.models, c.gpu_seconds_used FROM catalogue.suite s
     LEFT JOIN LATERAL (
       SELECT jsonb_object_agg(state, n) AS models, coalesce(sum(used), 0) AS gpu_seconds_used
       FROM (SELECT state, count(*) AS n, sum(gpu_seconds) AS used FROM catalogue.model WHERE suite_id = s.id GROUP BY state) x
     ) c ON true
     WHERE ($1::text[] IS NULL OR s.id = ANY($1)) AND ($2::text IS NULL OR s.round_id = $2)
       AND ($3::text IS NULL OR s.id < $3)
     ORDER BY s.id DESC LIMIT $4`,
    [filter.ids ?? null, filter.roundId ?? null, filter.before ?? null, filter.limit ?? 500],
  );
  return records.map((record) => ({
    suiteId: record.id,
    name: record.name,
    title: record.title,
    state: suiteState(record.models ?? {}),
    origin: record.origin,
    roundId: record.round_id,
    proposalId: record.proposal_id,
    labId: record.lab_id,
    certificateSha256: record.certificate_sha256,
    gpuSecondsReserved: Number(record.gpu_seconds_reserved),
    gpuSecondsUsed: Number(record.gpu_seconds_used),
    models: record.models ?? {},
    createdAt: record.created_at.toISOString(),
  }));
}
