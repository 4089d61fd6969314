import { ok, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { loadable, revisionFiles, revisionInput } from './inputs-of-jobs.js';
import { ownerOf, type PlannedJob, type PlanProblem } from './planned-job.js';

/** Time bound of serving; scheduling may lower it. */
const servingSecondsDefault = 86_400;

/** One job that serves revisions of a model; the last one by default. */
export async function planServing(
  tx: Tx,
  modelId: string,
  options: { readonly revisions?: readonly string[]; readonly maxSeconds?: number },
): Promise<Result<PlannedJob, PlanProblem>> {
  const found = await loadable(tx, modelId, options.revisions);
  if (!found.ok) return found;
  const { model, revisions } = found.value;
  const last = revisions.at(-1);
  return ok({
    ...ownerOf(model),
    template: {
      kind: 'serve',
      revisions: revisions.map(revisionInput),
      defaultRevision: `step${last?.step ?? 0}`,
      serve: {},
    },
    inputs: revisions.flatMap(revisionFiles),
    resources: { gpus: 1, maxSeconds: options.maxSeconds ?? servingSecondsDefault, checkpoint: false },
    gpuSecondsEstimate: 0,
    isReserved: false,
  });
}
