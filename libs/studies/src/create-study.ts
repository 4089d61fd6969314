import type { BodyOf, createStudy, ProblemCode, StudyView } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { readStudies } from './find-studies.js';
import {
  EVALUATION_JOBS,
  type EvaluationJobs,
  STUDY_MATERIALS,
  STUDY_MODELS,
  type StudyMaterial,
  type StudyMaterials,
  type StudyModel,
  type StudyModels,
  type StudyViewer,
} from './ports.js';

type Refused = Problem<ProblemCode>;

/** What every model of a study is asked. */
interface StudyDefinition {
  readonly heldOut: readonly StudyMaterial[];
  readonly minimalPairs: readonly StudyMaterial[];
  readonly headScores: boolean;
}

/** Begins a study: one evaluation job for each of its models, all of them or none. */
@Injectable()
export class CreateStudy {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(STUDY_MODELS) private readonly models: StudyModels,
    @Inject(STUDY_MATERIALS) private readonly materials: StudyMaterials,
    @Inject(EVALUATION_JOBS) private readonly jobs: EvaluationJobs,
  ) {}

  async execute(
    study: BodyOf<typeof createStudy>,
    by: { readonly personId: string; readonly viewer: StudyViewer },
  ): Promise<Result<StudyView, Refused>> {
    const found = await this.models.find({ models: study.models, suiteId: study.suiteId }, by.viewer);
    if (!found.ok) return found;
    const texts = await this.materials.find(study.heldOut, 'text');
    if (!texts.ok) return texts;
    const pairs = await this.materials.find(study.minimalPairs, 'pairs');
    if (!pairs.ok) return pairs;
    const definition = { heldOut: texts.value, minimalPairs: pairs.value, headScores: study.headScores };
    const chosen = found.value.flatMap((model) => {
      const revisions = chooseRevisions(model, study.revisions);
      return revisions.length === 0 ? [] : [{ model, revisions }];
    });
    if (chosen.length === 0) {
      return err(
        problem('studies.nothing-to-study', 'None of these models has such a revision yet; train them first'),
      );
    }
    const studyId = newId('Study');
    return this.transactor.run<StudyView, Refused>(async (tx) => {
      await insertStudy(tx, studyId, study, definition, chosen, by.personId);
      for (const { model, revisions } of chosen) {
        const submitted = await this.jobs.submit(tx, {
          studyId,
          modelId: model.modelId,
          modelName: model.name,
          ...definition,
          revisions: revisions.map(({ step }) => `step${step}`),
          labId: study.labId ?? null,
          submittedBy: by.personId,
        });
        if (!submitted.ok) return submitted;
        await tx.rows(
          `INSERT INTO studies.study_job (study_id, model_id, job_id, state, model, revisions_expected)
           VALUES ($1, $2, $3, 'running', $4, $5)`,
          [studyId, model.modelId, submitted.value, JSON.stringify(model), revisions.length],
        );
      }
      const [view] = await readStudies(tx, { seesAll: true, labIds: [] }, { studyId });
      return view === undefined
        ? err(problem('resource.not-found', `There is no study ${studyId}`))
        : ok(view);
    });
  }
}

/** The revisions asked for that the model has; all of them when none are named. */
function chooseRevisions(model: StudyModel, names: readonly string[] | undefined): StudyModel['revisions'] {
  if (names === undefined) return model.revisions;
  const last = Math.max(...model.revisions.map(({ step }) => step));
  const wanted = new Set(names.map((name) => (name === 'main' ? `step${last}` : name)));
  return model.revisions.filter(({ step }) => wanted.has(`step${step}`));
}

async function insertStudy(
  tx: Tx,
  studyId: string,
  study: BodyOf<typeof createStudy>,
  definition: StudyDefinition,
  chosen: readonly { readonly model: StudyModel }[],
  personId: string,
): Promise<void> {
  const isPrivate = chosen.some(({ model }) => model.isPrivate);
  await tx.rows(
    `INSERT INTO studies.study (id, title, description, state, definition, is_private, lab_id, created_by)
     VALUES ($1, $2, $3, 'running', $4, $5, $6, $7)`,
    [
      studyId,
      study.title,
      study.description,
      JSON.stringify(definition),
      isPrivate,
      study.labId ?? null,
      personId,
    ],
  );
  await tx.audit({
    actor: personId,
    action: 'study.created',
    subject: studyId,
    details: {
      models: chosen.map(({ model }) => model.modelId),
      texts: definition.heldOut.map((one) => one.corpusId),
      minimalPairs: definition.minimalPairs.map((one) => one.corpusId),
    },
  });
}
