import { type ProblemCode, servingDefaults } from '@beamtime/contracts';
import { err, invariant, type ModelId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { Transactor, Tx } from '@beamtime/platform';
import {
  type Demand,
  type LoadSample,
  quietMs,
  sampleMs,
  wantedReplicas,
} from '../domain/wanted-replicas.js';
import { loadLastsMs } from './model-loads.js';

/** What people can set of a model. */
export interface ServingBounds {
  readonly floor: number;
  readonly ceiling: number;
  readonly targetInFlight: number;
  readonly idleSeconds: number;
  /** How much of a GPU each replica has, in thousandths. */
  readonly gpuShareMilli: number;
}

/** How much a model is asked for, and what was last made of it. */
export interface ModelDemand {
  readonly modelId: ModelId;
  readonly bounds: ServingBounds;
  readonly set: { readonly by: string; readonly at: Date } | null;
  readonly lastUsedAt: Date | null;
  /** Replicas that were wanted when somebody looked last. */
  readonly wantedReplicas: number;
  /** Replicas that are wanted now. */
  readonly replicas: number;
  readonly refusal: { readonly at: Date; readonly agoMs: number; readonly reason: string } | null;
}

interface DemandRow {
  model_id: ModelId;
  wanted_replicas: number;
  last_used_at: Date | null;
  since_used_ms: number | null;
  refusal: string | null;
  refused_at: Date | null;
  refused_ago_ms: number | null;
  floor: number | null;
  ceiling: number | null;
  target_in_flight: number | null;
  idle_seconds: number | null;
  gpu_share_milli: number | null;
  set_by: string | null;
  set_at: Date | null;
  samples: LoadSample[];
}

const slotNow = `floor(extract(epoch FROM now()) * 1000 / ${sampleMs})::bigint`;
const slotsOfWindow = quietMs / sampleMs;

/** How many replicas models should have: what gateways tell, what people have set, and what follows from both. */
export class ReplicaDemand {
  constructor(private readonly transactor: Transactor) {}

  /** Keeps the load of this moment as part of the window; several processes may do it at the same time. */
  async sample(): Promise<void> {
    await this.transactor.read.rows(
      `INSERT INTO inference.load_sample AS s (model_id, slot, in_flight)
       SELECT model_id, ${slotNow}, sum(mean_in_flight) FROM inference.model_load
       WHERE reported_at > now() - $1 * interval '1 millisecond'
       GROUP BY model_id HAVING sum(mean_in_flight) > 0 ORDER BY model_id
       ON CONFLICT (model_id, slot) DO UPDATE SET in_flight = excluded.in_flight
       WHERE excluded.in_flight > s.in_flight`,
      [loadLastsMs],
    );
  }

  /** All models that are in use, have bounds of their own or had replicas. */
  list(): Promise<ModelDemand[]> {
    return readDemand(this.transactor.read, null);
  }

  /** One model; for one that nobody asked the defaults hold. */
  async find(modelId: string): Promise<ModelDemand> {
    const [found] = await readDemand(this.transactor.read, modelId);
    return found ?? untouched(modelId as ModelId);
  }

  /** The model, locked until the transaction ends: whoever decides on its replicas does so alone. */
  async lock(tx: Tx, modelId: string): Promise<ModelDemand> {
    await tx.rows(
      `INSERT INTO inference.served_model (model_id, last_used_at) VALUES ($1, NULL) ON CONFLICT DO NOTHING`,
      [modelId],
    );
    // By a statement of its own: the next one then sees what the one before us has written.
    await tx.rows('SELECT FROM inference.served_model WHERE model_id = $1 FOR UPDATE', [modelId]);
    const [found] = await readDemand(tx, modelId);
    invariant(found !== undefined, 'the model was entered');
    return found;
  }

  /** Writes what was decided under `lock`. @param refusal why no replica could be started; null where nothing stood against it */
  async decided(tx: Tx, modelId: string, replicas: number, refusal: string | null): Promise<void> {
    await tx.rows(
      `UPDATE inference.served_model SET wanted_replicas = $2, refusal = $3,
         refused_at = CASE WHEN $3::text IS NULL THEN NULL ELSE now() END
       WHERE model_id = $1`,
      [modelId, replicas, refusal],
    );
  }

  /** Sets bounds, with an entry in the audit log; what is left out stays. What equals the defaults is not kept. */
  async setBounds(wish: {
    readonly modelId: string;
    readonly bounds: Partial<ServingBounds>;
    readonly actor: string;
  }): Promise<Result<ServingBounds, Problem<ProblemCode>>> {
    const { modelId, bounds, actor } = wish;
    return this.transactor.run(async (tx) => {
      const before = (await this.lock(tx, modelId)).bounds;
      const after = { ...before, ...bounds };
      if (after.floor > after.ceiling) {
        return err(
          problem(
            'limit.exceeded',
            `A floor of ${after.floor} is above the ceiling of ${after.ceiling}; set both`,
            { floor: after.floor, ceiling: after.ceiling },
          ),
        );
      }
      const names = Object.keys(servingDefaults) as (keyof ServingBounds)[];
      if (names.every((name) => after[name] === servingDefaults[name])) {
        await tx.rows('DELETE FROM inference.replica_bounds WHERE model_id = $1', [modelId]);
      } else {
        await tx.rows(
          `INSERT INTO inference.replica_bounds (model_id, floor, ceiling, target_in_flight, idle_seconds,
             gpu_share_milli, set_by)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (model_id) DO UPDATE SET floor = excluded.floor, ceiling = excluded.ceiling,
             target_in_flight = excluded.target_in_flight, idle_seconds = excluded.idle_seconds,
             gpu_share_milli = excluded.gpu_share_milli, set_by = excluded.set_by, set_at = now()`,
          [
            modelId,
            after.floor,
            after.ceiling,
            after.targetInFlight,
            after.idleSeconds,
            after.gpuShareMilli,
            actor,
          ],
        );
      }
      await tx.audit({ actor, action: 'serving.set', subject: modelId, details: { before, after } });
      return ok(after);
    });
  }

  /** Forgets what no decision looks at any more. @param withReplicas models that still have some */
  async prune(withReplicas: readonly string[]): Promise<void> {
    const { read } = this.transactor;
    await read.rows(`DELETE FROM inference.load_sample WHERE slot <= ${slotNow} - $1`, [slotsOfWindow]);
    await read.rows(
      `DELETE FROM inference.model_load WHERE reported_at < now() - 6 * $1 * interval '1 millisecond'`,
      [loadLastsMs],
    );
    await read.rows(
      `DELETE FROM inference.served_model m WHERE wanted_replicas = 0 AND model_id <> ALL ($1)
         AND (last_used_at IS NULL OR last_used_at < now() - interval '1 hour')
         AND NOT EXISTS (SELECT FROM inference.replica_bounds b WHERE b.model_id = m.model_id)`,
      [[...withReplicas]],
    );
  }
}

async function readDemand(tx: Tx, modelId: string | null): Promise<ModelDemand[]> {
  const rows = await tx.rows<DemandRow>(
    `SELECT m.model_id, m.wanted_replicas, m.last_used_at, m.refusal, m.refused_at,
       (extract(epoch FROM now() - m.last_used_at) * 1000)::float8 AS since_used_ms,
       (extract(epoch FROM now() - m.refused_at) * 1000)::float8 AS refused_ago_ms,
       b.floor, b.ceiling, b.target_in_flight, b.idle_seconds, b.gpu_share_milli, b.set_by, b.set_at,
       coalesce((SELECT json_agg(json_build_object('ageMs', (${slotNow} - s.slot) * ${sampleMs}, 'inFlight', s.in_flight))
         FROM inference.load_sample s WHERE s.model_id = m.model_id AND s.slot > ${slotNow} - ${slotsOfWindow}),
         '[]') AS samples
     FROM inference.served_model m LEFT JOIN inference.replica_bounds b ON b.model_id = m.model_id
     WHERE $1::text IS NULL OR m.model_id = $1 ORDER BY m.model_id`,
    [modelId],
  );
  return rows.map(demandOf);
}

function demandOf(row: DemandRow): ModelDemand {
  const bounds: ServingBounds = {
    floor: row.floor ?? servingDefaults.floor,
    ceiling: row.ceiling ?? servingDefaults.ceiling,
    targetInFlight: row.target_in_flight ?? servingDefaults.targetInFlight,
    idleSeconds: row.idle_seconds ?? servingDefaults.idleSeconds,
    gpuShareMilli: row.gpu_share_milli ?? servingDefaults.gpuShareMilli,
  };
  const demand: Demand = { samples: row.samples, sinceUsedMs: row.since_used_ms };
  const limits = { ...bounds, idleMs: bounds.idleSeconds * 1_000 };
  return {
    modelId: row.model_id,
    bounds,
    set: row.set_by === null || row.set_at === null ? null : { by: row.set_by, at: row.set_at },
    lastUsedAt: row.last_used_at,
    wantedReplicas: row.wanted_replicas,
    replicas: wantedReplicas(limits, demand, row.wanted_replicas),
    refusal:
      row.refusal === null || row.refused_at === null
        ? null
        : { at: row.refused_at, agoMs: row.refused_ago_ms ?? 0, reason: row.refusal },
  };
}

function untouched(modelId: ModelId): ModelDemand {
  return {
    modelId,
    bounds: servingDefaults,
    set: null,
    lastUsedAt: null,
    wantedReplicas: 0,
    replicas: 0,
    refusal: null,
  };
}
