export { CreateSuite } from './adopt-suite.js';
export { CatalogueModule } from './catalogue.module.js';
export { corpusLifecycle, modelLifecycle } from './domain/lifecycles.js';
export { behaviourOnly, FindModels, isClosed } from './find-models.js';
export { FindSuites } from './find-suites.js';
export { ImportModel } from './import-model.js';
export { ListClosedModel } from './list-closed-model.js';
export type { EvaluationPlan } from './planning/plan-evaluations.js';
export { PlanJobs } from './planning/plan-jobs.js';
export type { PlannedJob, PlanProblem } from './planning/planned-job.js';
export { catalogueSchema } from './postgres/catalogue-schema.js';
export {
  factorsOf,
  hubIdOf,
  type ModelRecord,
  modelView,
  type RevisionRecord,
} from './postgres/read-models.js';
export { ReceiveCorpus } from './receive-corpus.js';
export { catalogueConsumer } from './record-training.js';
export { RegisterCorpus } from './register-corpus.js';
export { anyone, everything, type Viewer } from './viewer.js';
export { WithdrawModel } from './withdraw-model.js';
