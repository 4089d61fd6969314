export { studiesConsumer } from './collect-results.js';
export { CreateStudy } from './create-study.js';
export { drawFigure, type FigureRow, type FigureSpec } from './domain/draw-figure.js';
export { studyLifecycle } from './domain/study-lifecycle.js';
export { FindStudies } from './find-studies.js';
export {
  EVALUATION_JOBS,
  type EvaluationJobs,
  type EvaluationRequest,
  STUDY_MATERIALS,
  STUDY_MODELS,
  type StudyMaterial,
  type StudyMaterials,
  type StudyModel,
  type StudyModels,
  type StudyViewer,
} from './ports.js';
export { studiesSchema } from './postgres/studies-schema.js';
export { ReadResults } from './read-results.js';
export { renderSvg } from './render-svg.js';
export { StudiesModule } from './studies.module.js';
