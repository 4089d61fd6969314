import type { ModelId } from '@beamtime/kernel';
import type { Transactor } from '@beamtime/platform';

/** Use is written down at most this often per model: every request would be a commit for nothing. */
const noteEveryMs = 5_000;
/** A model that is still not served is asked for again after this long: its job may have failed. */
const askAgainMs = 20_000;
/** Models that one process remembers having noted; beyond it, some are noted more often. */
const remembered = 10_000;

/** Which models are in use, and which of them are asked for while nobody serves them. */
export class ServedModels {
  private readonly notedAtMs = new Map<string, number>();

  constructor(private readonly transactor: Transactor) {}

  /** Notes that a model is being asked; if nobody serves it, records the fact that it is wanted. */
  async use(modelId: ModelId, served: boolean): Promise<void> {
    const key = `${modelId} ${served}`;
    const nowMs = Date.now();
    if (nowMs - (this.notedAtMs.get(key) ?? 0) < noteEveryMs) return;
    if (this.notedAtMs.size >= remembered) this.notedAtMs.clear();
    this.notedAtMs.set(key, nowMs);
    await this.transactor.do(async (tx) => {
      await tx.rows(
        `INSERT INTO inference.served_model (model_id) VALUES ($1)
         ON CONFLICT (model_id) DO UPDATE SET last_used_at = now()`,
        [modelId],
      );
      if (served) return;
      const due = await tx.changed(
        `UPDATE inference.served_model SET wanted_at = now() WHERE model_id = $1
         AND (wanted_at IS NULL OR wanted_at < now() - $2 * interval '1 millisecond')`,
        [modelId, askAgainMs],
      );
      if (due > 0) await tx.record('model.wanted', { modelId });
    });
  }
}
