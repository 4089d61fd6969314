import type { JobId, ModelId } from '@beamtime/kernel';
import type { Transactor } from '@beamtime/platform';

/** Use is written down at most this often per model: every request would be a commit for nothing. */
const touchEveryMs = 5_000;

/** Which serve job serves which model, and when it was last asked: what the idle reconciler goes by. */
export class ServedModels {
  private readonly touchedAtMs = new Map<string, number>();

  constructor(private readonly transactor: Transactor) {}

  async touch(modelId: ModelId, jobId: JobId): Promise<void> {
    const key = `${modelId} ${jobId}`;
    const nowMs = Date.now();
    if (nowMs - (this.touchedAtMs.get(key) ?? 0) < touchEveryMs) return;
    if (this.touchedAtMs.size > 10_000) this.touchedAtMs.clear();
    this.touchedAtMs.set(key, nowMs);
    await this.transactor.read.rows(
      `INSERT INTO inference.served_model (model_id, job_id) VALUES ($1, $2)
       ON CONFLICT (model_id) DO UPDATE SET job_id = $2, last_used_at = now()`,
      [modelId, jobId],
    );
  }

  /** Takes out the models that nobody asked for this long, and returns their jobs. */
  async takeIdle(idleMs: number): Promise<JobId[]> {
    const rows = await this.transactor.read.rows<{ job_id: JobId }>(
      `DELETE FROM inference.served_model WHERE last_used_at < now() - $1 * interval '1 millisecond' RETURNING job_id`,
      [idleMs],
    );
    return rows.map((row) => row.job_id);
  }
}
