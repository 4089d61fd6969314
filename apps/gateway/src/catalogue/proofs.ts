import type { FileEntry } from '@beamtime/contracts';
import { JobTraces } from '@beamtime/scheduling';
import { Inject, Injectable } from '@nestjs/common';

/** How the runner names the hash chain of steps among what a training job made. */
const chainArtifact = 'step-chain';

/** The proofs of trained models: joins the catalogue to what scheduling kept of the jobs. */
@Injectable()
export class Proofs {
  constructor(@Inject(JobTraces) private readonly traces: JobTraces) {}

  /** The hash chain of the job that trained a model; undefined while it trains, and for what was not trained here. */
  async of(model: { readonly job_id: string | null }): Promise<FileEntry | undefined> {
    if (model.job_id === null) return undefined;
    const found = (await this.traces.artifacts(model.job_id)).find((one) => one.name === chainArtifact);
    if (found === undefined) return undefined;
    const { objectKey, sizeBytes, sha256 } = found;
    return { path: 'chain.jsonl', objectKey, sizeBytes, sha256 };
  }
}
