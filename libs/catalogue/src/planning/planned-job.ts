import type { FileEntry, JobResources, RunnerTemplate } from '@beamtime/contracts';
import type { Problem } from '@beamtime/kernel';
import type { ModelRecord } from '../postgres/read-models.js';

/** A job as scheduling takes it: the runner's file without what each attempt brings, and what to stage. */
export interface PlannedJob {
  readonly modelId: string;
  readonly modelName: string;
  readonly suiteId: string | null;
  readonly labId: string | null;
  readonly template: RunnerTemplate;
  readonly inputs: readonly FileEntry[];
  readonly resources: JobResources;
  readonly gpuSecondsEstimate: number;
  /** Whether a round reserved GPU-seconds for the suite; what was merely entered is paid from operations. */
  readonly isReserved: boolean;
}

export type PlanProblem = Problem<
  | 'resource.not-found'
  | 'catalogue.invalid-corpus'
  | 'catalogue.not-loadable'
  | 'catalogue.behaviour-only'
  | 'governance.invalid-suite'
>;

export function ownerOf(model: ModelRecord): Pick<PlannedJob, 'modelId' | 'modelName' | 'suiteId' | 'labId'> {
  return { modelId: model.id, modelName: model.name, suiteId: model.suite_id, labId: model.lab_id };
}
