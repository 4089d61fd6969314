import { ChargeJobs } from '@beamtime/access';
import {
  behaviourOnly,
  FindModels,
  FindSuites,
  factorsOf,
  isClosed,
  modelView,
  PlanJobs,
  type Viewer,
} from '@beamtime/catalogue';
import type { ProblemCode } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { GPU_ACCOUNTS, type GpuAccounts, KnownClusters, SubmitJob } from '@beamtime/scheduling';
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
} from '@beamtime/studies';
import type { Provider } from '@nestjs/common';

type Refused = Problem<ProblemCode>;

/** A job that reads one model over its revisions: start, then so long for each. GPU-seconds are held for it. */
const secondsPerJob = 600;
const secondsPerRevision = 60;
const attemptLimit = 5;

function studyModels(find: FindModels, suites: FindSuites): StudyModels {
  const describe = async (viewer: Viewer, ref: string): Promise<Result<StudyModel, Refused>> => {
    const found = await find.record(viewer, ref);
    if (!found.ok) return found;
    if (isClosed(found.value)) return err(behaviourOnly(found.value.name));
    const revisions = await find.revisions(viewer, found.value.id);
    if (!revisions.ok) return revisions;
    const view = modelView(found.value);
    return ok({
      modelId: view.modelId,
      name: view.name,
      isPrivate: view.visibility === 'private',
      factors: factorsOf(found.value),
      revisions: revisions.value.items.map(({ step, tokensSeen }) => ({ step, tokensSeen })),
      trainingJobId: view.jobId,
      suiteId: view.suiteId,
      proposalId: view.proposalId,
      roundId: view.roundId,
      certificateSha256: found.value.certificate_sha256,
    });
  };
  return {
    async find(which, who) {
      const viewer = viewerOf(who);
      let refs = which.models ?? [];
      if (which.suiteId !== undefined) {
        const suite = await suites.show(viewer, which.suiteId);
        if (!suite.ok) return suite;
        refs = suite.value.members.filter((one) => one.revisions > 0).map((one) => one.modelId);
      }
      const models = new Map<string, StudyModel>();
      for (const ref of refs) {
        const model = await describe(viewer, ref);
        if (!model.ok) return model;
        if (model.value.revisions.length === 0) {
          return err(problem('catalogue.not-loadable', `${model.value.name} has no weights yet`));
        }
        models.set(model.value.modelId, model.value);
      }
      return ok([...models.values()]);
    },
  };
}

function viewerOf(who: StudyViewer): Viewer {
  return { ...who, grantedModelIds: [] };
}

function studyMaterials(suites: FindSuites): StudyMaterials {
  return {
    async find(corpusIds, wanted) {
      const materials: StudyMaterial[] = [];
      for (const corpusId of corpusIds) {
        const found = await suites.corpus(corpusId);
        if (!found.ok) return found;
        const { name, language, script, state, format } = found.value;
        if (state !== 'ready' || format !== wanted) {
          const why = state === 'ready' ? `is of format ${format}, not ${wanted}` : `is ${state}`;
          return err(problem('catalogue.invalid-corpus', `The corpus ${name} ${why}`, { corpusId }));
        }
        materials.push({ corpusId, name, language, script });
      }
      return ok(materials);
    },
  };
}

function evaluationJobs(plan: PlanJobs, submit: SubmitJob): EvaluationJobs {
  return {
    async submit(tx, request) {
      const planned = await plan.evaluation(
        request.modelId,
        {
          heldOut: request.heldOut,
          minimalPairs: request.minimalPairs,
          headScores: request.headScores,
          revisions: request.revisions,
        },
        tx,
      );
      if (!planned.ok) return planned;
      const { template, inputs, resources, suiteId } = planned.value;
      const submitted = await submit.execute(
        {
          kind: 'evaluate',
          name: `evaluate ${request.modelName}`,
          runner: template,
          inputs,
          resources: {
            ...resources,
            maxSeconds: Math.min(
              resources.maxSeconds,
              secondsPerJob + secondsPerRevision * request.revisions.length,
            ),
          },
          labId: request.labId,
          suiteId,
          modelId: request.modelId,
          studyId: request.studyId,
          priority: 0,
          attemptLimit,
          requestKey: `study/${request.studyId}/${request.modelId}`,
          // Evaluating what the consortium trained is part of running it.
          account: { kind: 'operations' },
          submittedBy: request.submittedBy,
        },
        tx,
      );
      return submitted.ok ? ok(submitted.value.jobId) : submitted;
    },
  };
}

/** The ports of studies, joined to the catalogue and to scheduling; and scheduling's own, to the ledger. */
export const studyPorts: Provider[] = [
  {
    provide: GPU_ACCOUNTS,
    inject: [ChargeJobs],
    useFactory: (charge: ChargeJobs): GpuAccounts => ({
      hold: (tx, hold) => charge.hold(tx, hold),
      settleAll: async (tx, settled) => {
        await charge.settleAll(tx, settled);
      },
    }),
  },
  KnownClusters,
  SubmitJob,
  { provide: STUDY_MODELS, inject: [FindModels, FindSuites], useFactory: studyModels },
  { provide: STUDY_MATERIALS, inject: [FindSuites], useFactory: studyMaterials },
  { provide: EVALUATION_JOBS, inject: [PlanJobs, SubmitJob], useFactory: evaluationJobs },
];
