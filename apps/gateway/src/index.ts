import { accessSchema } from '@beamtime/access';
import { catalogueSchema } from '@beamtime/catalogue';
import { governanceSchema } from '@beamtime/governance';
import { identitySchema } from '@beamtime/identity';
import { inferenceSchema } from '@beamtime/inference';
import type { ContextSchema } from '@beamtime/platform';
import { schedulingSchema } from '@beamtime/scheduling';
import { studiesSchema } from '@beamtime/studies';

export { GatewayServiceModule } from './gateway-service.module.js';

/** The contexts whose tables this service uses. */
export const gatewaySchemas: readonly ContextSchema[] = [
  identitySchema,
  governanceSchema,
  catalogueSchema,
  schedulingSchema,
  accessSchema,
  inferenceSchema,
  studiesSchema,
];
