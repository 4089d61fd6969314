import { Module } from '@nestjs/common';
import { CreateSuite } from './adopt-suite.js';
import { FindModels } from './find-models.js';
import { FindSuites } from './find-suites.js';
import { ImportModel } from './import-model.js';
import { ListClosedModel } from './list-closed-model.js';
import { PlanJobs } from './planning/plan-jobs.js';
import { ReceiveCorpus } from './receive-corpus.js';
import { RegisterCorpus } from './register-corpus.js';
import { WithdrawModel } from './withdraw-model.js';

const useCases = [
  CreateSuite,
  FindModels,
  FindSuites,
  ImportModel,
  ListClosedModel,
  WithdrawModel,
  PlanJobs,
  ReceiveCorpus,
  RegisterCorpus,
];

/** The catalogue's use cases; the platform's module provides what they stand on. */
@Module({ providers: useCases, exports: useCases })
export class CatalogueModule {}
