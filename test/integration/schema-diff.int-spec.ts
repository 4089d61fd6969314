import { accessSchema } from '@beamtime/access';
import { catalogueSchema } from '@beamtime/catalogue';
import { governanceSchema } from '@beamtime/governance';
import { identitySchema } from '@beamtime/identity';
import { inferenceSchema } from '@beamtime/inference';
import { platformSchema } from '@beamtime/platform';
import { schedulingSchema } from '@beamtime/scheduling';
import { studiesSchema } from '@beamtime/studies';
import { platformForTest } from '@beamtime/testkit';
import { describe, expect, it } from 'vitest';

const schemas = [
  identitySchema,
  governanceSchema,
  catalogueSchema,
  schedulingSchema,
  accessSchema,
  inferenceSchema,
  studiesSchema,
];

describe('the entities', () => {
  it.each([platformSchema, ...schemas])(
    'of $context say what the migrations made, no more and no less',
    async (schema) => {
      const platform = await platformForTest(schema === platformSchema ? [] : [schema]);
      try {
        const { upQueries } = await platform.dataSource.driver.createSchemaBuilder().log();
        expect(upQueries.map(({ query }) => query)).toEqual([]);
      } finally {
        await platform.close();
      }
    },
  );
});
