import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CapacityTrust, refusalsBeforeBound } from '../domain/trusted-capacity.js';
import { schedulingSchema } from '../postgres/scheduling-schema.js';
import { doubtSilentCapacity } from './trust-capacity.js';

let platform: TestPlatform;
beforeAll(async () => {
  platform = await platformForTest([schedulingSchema]);
});
afterAll(() => platform.close());
beforeEach(async () => {
  await platform.transactor.read.rows('DELETE FROM scheduling.cluster');
  await platform.transactor.read.rows(
    `INSERT INTO scheduling.cluster (id, name, lab_id, state, last_seen_at)
     VALUES ('clu_a', 'a', 'lab_a', 'active', now() - interval '10 seconds')`,
  );
});

const secondsAgo = (seconds: number): Date => new Date(Date.now() - seconds * 1_000);
/** So many offers of a GPU, made so long ago, lapse together. */
const lapse = (count: number, offeredAt: Date) =>
  platform.transactor.do((tx) =>
    doubtSilentCapacity(
      tx,
      'clu_a',
      Array.from({ length: count }, () => ({ gpus: 1, offered_at: offeredAt })),
    ),
  );
const trust = async (): Promise<CapacityTrust | null> =>
  (
    await platform.transactor.read.row<{ trust: CapacityTrust | null }>(
      'SELECT trust FROM scheduling.cluster',
    )
  )?.trust ?? null;

describe('offers that lapse', () => {
  it('say nothing of a cluster whose agent was not heard of since, however many they are', async () => {
    await lapse(300, secondsAgo(5));
    expect(await trust()).toBeNull();
  });

  it('are one refusal when they lapse together: three silences bound the claim, not three offers', async () => {
    for (let silences = 1; silences < refusalsBeforeBound; silences++) {
      await lapse(300, secondsAgo(60));
      expect(await trust()).toMatchObject({ boundGpus: null, refusals: silences, strikes: 0 });
    }
    await lapse(300, secondsAgo(60));
    expect(await trust()).toMatchObject({ boundGpus: 0, refusals: 0, strikes: 1 });
  });
});
