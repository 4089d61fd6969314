import { accessSchema } from '@beamtime/access';
import { identitySchema } from '@beamtime/identity';
import type { ContextSchema } from '@beamtime/platform';

export { AccessServiceModule } from './access.module.js';

/** The contexts whose tables this service uses. */
export const accessSchemas: readonly ContextSchema[] = [identitySchema, accessSchema];
