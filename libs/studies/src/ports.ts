import type { ProblemCode } from '@beamtime/contracts';
import type { Problem, Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';

/** What a study asks of others; an app joins each port to the context that has the answer. */

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

/** Who looks, as far as private models are concerned. */
export interface StudyViewer {
  readonly seesAll: boolean;
  readonly labIds: readonly string[];
}

/** A model with weights, as the catalogue describes it at the time. */
export interface StudyModel {
  readonly modelId: string;
  readonly name: string;
  readonly isPrivate: boolean;
  readonly factors: Readonly<Record<string, string | number | boolean | null>>;
  readonly revisions: readonly { readonly step: number; readonly tokensSeen: number | null }[];
  readonly trainingJobId: string | null;
  readonly suiteId: string | null;
  readonly proposalId: string | null;
  readonly roundId: string | null;
  readonly certificateSha256: string | null;
}

export interface StudyModels {
  /** The models named, all of which must be there, or those of a suite that have weights. */
  find(
    which: { readonly models?: readonly string[] | undefined; readonly suiteId?: string | undefined },
    viewer: StudyViewer,
  ): Expected<StudyModel[]>;
}
export const STUDY_MODELS = Symbol('StudyModels');

/** A registered corpus that a study reads: a held-out text, or a set of minimal pairs. */
export interface StudyMaterial {
  readonly corpusId: string;
  readonly name: string;
  readonly language: string;
  readonly script: string;
}

export interface StudyMaterials {
  /** Registered corpora of this format that are ready, in the order asked for. */
  find(corpusIds: readonly string[], format: 'text' | 'pairs'): Expected<StudyMaterial[]>;
}
export const STUDY_MATERIALS = Symbol('StudyMaterials');

export interface EvaluationRequest {
  readonly studyId: string;
  readonly modelId: string;
  readonly modelName: string;
  readonly heldOut: readonly StudyMaterial[];
  readonly minimalPairs: readonly StudyMaterial[];
  readonly headScores: boolean;
  readonly revisions: readonly string[];
  readonly labId: string | null;
  readonly submittedBy: string;
}

export interface EvaluationJobs {
  /** Submits one job in this transaction and answers its id; the same study and model again, the same job. */
  submit(tx: Tx, request: EvaluationRequest): Expected<string>;
}
export const EVALUATION_JOBS = Symbol('EvaluationJobs');
