import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { schedulingSchema } from './scheduling-schema.js';

let platform: TestPlatform;
beforeAll(async () => {
  platform = await platformForTest([schedulingSchema]);
});
afterAll(() => platform.close());

it('the entities say exactly what the migrations made', async () => {
  const { upQueries } = await platform.dataSource.driver.createSchemaBuilder().log();
  expect(upQueries.map(({ query }) => query).filter((query) => query.includes('scheduling'))).toEqual([]);
});
