import { accessSchema } from '@beamtime/access';
import { catalogueSchema } from '@beamtime/catalogue';
import { identitySchema } from '@beamtime/identity';
import { inferenceSchema } from '@beamtime/inference';
import type { ContextSchema } from '@beamtime/platform';
import { schedulingSchema } from '@beamtime/scheduling';

export { SchedulerServiceModule as schedulerServiceModule } from './scheduler-service.module.js';

export const schedulerSchemas: readonly ContextSchema[] = [
  identitySchema,
  catalogueSchema,
  accessSchema,
  schedulingSchema,
  inferenceSchema,
];
