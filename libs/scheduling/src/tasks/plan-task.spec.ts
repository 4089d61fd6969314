import type { TesTaskRequest } from '@beamtime/contracts';
import { describe, expect, it } from 'vitest';
import { type TaskFault, wishesOf } from './plan-task.js';

const executors = [{ image: 'alpine', command: ['true'] }];

function asked(parameters: Record<string, string>, strict = false) {
  const faults: TaskFault[] = [];
  const resources = { backend_parameters: parameters, backend_parameters_strict: strict };
  const wishes = wishesOf({ executors, resources } as TesTaskRequest, faults);
  return { resources: wishes.resources, notices: wishes.notices, faults: faults.map(({ path }) => path) };
}
const parameter = (name: string) => `body.resources.backend_parameters.${name}`;

describe('the backend parameters of a task', () => {
  it('ask for GPUs, and for the fewest of them that are enough', () => {
    expect(asked({}).resources).toMatchObject({ gpus: 1, checkpoint: false });
    expect(asked({ BEAMTIME_GPUS: '12', beamtime_gpus_min: '3' }).resources).toMatchObject({
      gpus: 12,
      gpusMin: 3,
    });
    expect(asked({ beamtime_gpus: '4', beamtime_gpus_min: '4' }).resources).not.toHaveProperty('gpusMin');
  });

  it('are refused by name where a number of GPUs is no half of another, or is more', () => {
    for (const least of ['5', '24', '0', 'few'])
      expect(asked({ beamtime_gpus: '12', beamtime_gpus_min: least }).faults).toEqual([
        parameter('beamtime_gpus_min'),
      ]);
  });

  it('ask for a part of one GPU, in hundredths', () => {
    expect(asked({ beamtime_gpu_share_milli: '330' }).resources).toMatchObject({ gpuShareMilli: 330 });
    expect(asked({ beamtime_gpu_share_milli: '335' }).faults).toEqual([
      parameter('beamtime_gpu_share_milli'),
    ]);
    expect(asked({ beamtime_gpus: '2', beamtime_gpu_share_milli: '500' }).faults).toEqual([
      parameter('beamtime_gpu_share_milli'),
    ]);
  });

  it('that nobody knows are told to have no effect, or refused where the client is strict', () => {
    expect(asked({ vmsize: 'large' })).toMatchObject({
      faults: [],
      notices: ['backend parameter vmsize is not supported and has no effect'],
    });
    expect(asked({ vmsize: 'large' }, true).faults).toEqual([parameter('vmsize')]);
  });
});
