import type { JobId, ModelId } from '@beamtime/kernel';
import type { Transactor, Tx } from '@beamtime/platform';
import type { ModelLoad } from './load-meter.js';

/** How often a gateway tells its load. */
export const reportEveryMs = 2_000;
/** A gateway that has not told anything for so long is gone, and its requests with it. */
export const loadLastsMs = 10_000;
/** Rows that one gateway may have: replicas that are connected, and models that are waited for. */
const rowsAtMost = 10_000;

/** The load of a replica, over all gateways. */
export interface ReplicaLoad {
  readonly modelId: ModelId;
  /** Null for requests that wait for a replica. */
  readonly jobId: JobId | null;
  readonly inFlight: number;
}

/** The load of models as the gateways tell it: a row for each replica and gateway, replaced each time. */
export class ModelLoads {
  private hasRows = false;

  /** @param instanceId of this process, which no other one has */
  constructor(
    private readonly transactor: Transactor,
    private readonly instanceId: string,
  ) {}

  /** Replaces what this gateway told before. While there is nothing to tell it writes nothing. */
  async report(loads: readonly ModelLoad[]): Promise<void> {
    if (loads.length === 0 && !this.hasRows) return;
    const told = loads.slice(0, rowsAtMost);
    await this.transactor.read.rows(
      `WITH told AS (
         SELECT * FROM unnest($2::text[], $3::text[], $4::int[], $5::float8[]) AS e (model_id, job_id, in_flight, mean)
       ), gone AS (
         DELETE FROM inference.model_load WHERE instance_id = $1
           AND (model_id, job_id) NOT IN (SELECT model_id, job_id FROM told)
       )
       INSERT INTO inference.model_load (instance_id, model_id, job_id, in_flight, mean_in_flight)
       SELECT $1, model_id, job_id, in_flight, mean FROM told
       ON CONFLICT (instance_id, model_id, job_id) DO UPDATE SET in_flight = excluded.in_flight,
         mean_in_flight = excluded.mean_in_flight, reported_at = now()`,
      [
        this.instanceId,
        told.map((one) => one.modelId),
        told.map((one) => one.jobId ?? ''),
        told.map((one) => one.inFlight),
        told.map((one) => one.meanInFlight),
      ],
    );
    this.hasRows = told.length > 0;
  }
}

/** What all gateways that are alive have told; a replica that is connected to one of them is there, also unused. */
export async function readLoads(tx: Tx, modelId: string | null = null): Promise<ReplicaLoad[]> {
  const rows = await tx.rows<{ model_id: ModelId; job_id: JobId | ''; in_flight: number }>(
    `SELECT model_id, job_id, sum(in_flight)::int AS in_flight FROM inference.model_load
     WHERE reported_at > now() - $1 * interval '1 millisecond' AND ($2::text IS NULL OR model_id = $2)
     GROUP BY model_id, job_id`,
    [loadLastsMs, modelId],
  );
  return rows.map((row) => ({
    modelId: row.model_id,
    jobId: row.job_id === '' ? null : row.job_id,
    inFlight: row.in_flight,
  }));
}
