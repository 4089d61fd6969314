import type { JobId, ModelId } from '@beamtime/kernel';
import { expect, it } from 'vitest';
import { LoadMeter } from './load-meter.js';

const modelId = 'mdl_1' as ModelId;
const jobId = 'job_1' as JobId;

it('a meter tells what is in flight, and the mean since it was read before', () => {
  let nowMs = 1_000;
  const meter = new LoadMeter(() => nowMs);
  const first = meter.begin(modelId, jobId);
  nowMs += 500;
  const second = meter.begin(modelId, jobId);
  nowMs += 500;
  first();
  first();
  nowMs += 1_000;
  // One for 500 ms, two for 500 ms, one for 1,000 ms.
  expect(meter.read()).toEqual([{ modelId, jobId, inFlight: 1, meanInFlight: 1.25 }]);
  nowMs += 1_000;
  second();
  nowMs += 1_000;
  expect(meter.read()).toEqual([{ modelId, jobId, inFlight: 0, meanInFlight: 0.5 }]);
  expect(meter.read()).toEqual([]);
});

it('a meter keeps those that wait apart from those at a replica, and sees requests that begin and end between two looks', () => {
  let nowMs = 0;
  const meter = new LoadMeter(() => nowMs);
  for (let at = 0; at < 4; at++) {
    const done = meter.begin(modelId, at % 2 === 0 ? null : jobId);
    nowMs += 100;
    done();
  }
  expect(meter.read()).toEqual([
    { modelId, jobId: null, inFlight: 0, meanInFlight: 0.5 },
    { modelId, jobId, inFlight: 0, meanInFlight: 0.5 },
  ]);
});
