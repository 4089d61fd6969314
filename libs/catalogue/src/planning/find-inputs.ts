import type { FileEntry, JobInputRequest } from '@beamtime/contracts';
import { ok, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { corpusFile, loadable, readyCorpora } from './inputs-of-jobs.js';
import type { PlanProblem } from './planned-job.js';

/** The objects behind what a person asked to be staged. */
export async function findInputs(
  tx: Tx,
  requests: readonly JobInputRequest[],
): Promise<Result<FileEntry[], PlanProblem>> {
  const files: FileEntry[] = [];
  for (const request of requests) {
    if ('corpusId' in request) {
      const corpora = await readyCorpora(tx, [request.corpusId]);
      if (!corpora.ok) return corpora;
      files.push(...corpusFile(corpora.value, request.corpusId, request.path));
      continue;
    }
    const found = await loadable(tx, request.modelId, [request.revision]);
    if (!found.ok) return found;
    for (const revision of found.value.revisions) {
      files.push(...revision.files.map((file) => ({ ...file, path: `${request.path}/${file.path}` })));
    }
  }
  return ok(files);
}
