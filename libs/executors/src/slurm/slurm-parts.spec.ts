import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { programFile, quote } from './batch-script.js';
import { endFromSlurm, readEnd, stateFromWords } from './end-of-job.js';
import { readGres, readInventory } from './inventory.js';
import { type SiteShape, shapeOf } from './job-shape.js';
import { phaseOf, readQueue } from './queue.js';
import { sbatchOptionFault } from './sbatch-options.js';
import { secondsOf } from './site.js';

describe('the shape of a job', () => {
  const site: SiteShape = {
    hasGpus: true,
    gpuType: null,
    gpusPerNode: 8,
    nodes: 4,
    cpusPerGpu: 4,
    memoryMiBPerGpu: null,
  };

  it('gives a gang as few nodes as share its GPUs evenly, and all of them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 8 }), (gpus, gpusPerNode) => {
        const shape = shapeOf({ kind: 'train', gpus }, { ...site, gpusPerNode });
        const possible = [1, 2, 3, 4].find((nodes) => gpus % nodes === 0 && gpus / nodes <= gpusPerNode);
        expect(shape.ok).toBe(possible !== undefined);
        if (!shape.ok) return;
        expect(shape.value.nodes).toBe(possible);
        expect(shape.value.nodes * shape.value.tasksPerNode).toBe(gpus);
        expect(shape.value.sbatch).toContain(`--gres=gpu:${gpus / shape.value.nodes}`);
      }),
    );
  });

  it('keeps everything but a training in one process on one node', () => {
    const shape = shapeOf({ kind: 'serve', gpus: 4 }, { ...site, gpuType: 'a100', memoryMiBPerGpu: 1000 });
    expect(shape).toMatchObject({
      ok: true,
      value: {
        processes: 1,
        sbatch: [
          '--nodes=1',
          '--ntasks-per-node=1',
          '--cpus-per-task=16',
          '--gres=gpu:a100:4',
          '--mem=4000M',
        ],
      },
    });
    expect(shapeOf({ kind: 'serve', gpus: 9 }, site).ok).toBe(false);
  });

  it('turns GPUs into CPUs where there are none', () => {
    const slots = { ...site, hasGpus: false, gpusPerNode: 4, cpusPerGpu: 2 };
    expect(shapeOf({ kind: 'evaluate', gpus: 2 }, slots)).toMatchObject({
      value: { sbatch: ['--nodes=1', '--ntasks-per-node=1', '--cpus-per-task=4'] },
    });
  });
});

describe('what a site has', () => {
  const wish = { partition: null, gpuType: null, cpusPerSlot: 2 };
  const text = [
    'n1|gpu*|up|64|512000|gpu:a100:8(S:0-1),nvme:1|mixed',
    'n2|gpu*|up|64|512000|gpu:a100:8|drained',
    'n3|gpu*|up|64|512000|gpu:a100:8|idle*',
    'n4|gpu*|up|64|512000|gpu:a100:4|idle~',
    'n1|debug|inact|64|512000|gpu:a100:8|mixed',
    'c1|cpu|up|9|64000|(null)|idle',
  ].join('\n');

  it('is the partition without what is drained or does not answer', () => {
    expect(readInventory(text, wish)).toMatchObject({
      gpus: 12,
      gpusPerNode: 8,
      gpuType: 'a100',
      nodes: 2,
      cpus: 128,
      draining: null,
    });
    expect(readInventory(text, { ...wish, partition: 'cpu' })).toMatchObject({ gpus: 4, gpuType: 'cpu' });
    expect(readInventory(text, { ...wish, partition: 'debug' })).toMatchObject({
      gpus: 0,
      draining: expect.stringContaining('not up') as string,
    });
  });

  it('is an explanation when the wish does not fit', () => {
    expect(readInventory(text, { ...wish, partition: 'x' })).toContain('cpu, debug, gpu');
    expect(readInventory(text, { ...wish, gpuType: 'h100' })).toContain('it has a100');
    expect(readInventory('', wish)).toContain('no partition');
  });

  it('counts GPUs by type', () => {
    expect([...readGres('gpu:a100:2(S:0,1),gpu:a100:1,gpu:3,mps:100')]).toEqual([
      ['a100', 3],
      ['', 3],
    ]);
    expect(readGres('(null)').size).toBe(0);
  });

  it('has times in days, hours, minutes and seconds', () => {
    expect(['UNLIMITED', '30', '2:30', '1:00:00', '1-12', '2-00:00:01'].map(secondsOf)).toEqual([
      null,
      1800,
      150,
      3600,
      129_600,
      172_801,
    ]);
  });
});

describe('the queue', () => {
  it("is read without other people's jobs, whatever these are called", () => {
    const text =
      '12|RUNNING|None|beamtime.a.x\n13_2|PENDING|Resources|beamtime.a.y\n14|RUNNING|None|a|b\n\n15_[0-3]|PENDING|x|beamtime.a.z';
    expect(readQueue(text, 'beamtime.a.')).toEqual([
      { id: '12', index: 0, state: 'RUNNING', reason: 'None', name: 'beamtime.a.x' },
      { id: '13_2', index: 2, state: 'PENDING', reason: 'Resources', name: 'beamtime.a.y' },
    ]);
  });

  it('never takes an unknown state for an end', () => {
    expect(phaseOf('TIMEOUT')).toBe('over');
    expect(phaseOf('REQUEUED')).toBe('waiting');
    expect(phaseOf('SOMETHING_NEW')).toBe('live');
  });
});

describe('the end of a program', () => {
  it('is what its script wrote, if that is whole', () => {
    expect(readEnd('0 - -\n')).toEqual({ state: 'ended', exitCode: 0, signal: null });
    expect(readEnd('137 SIGKILL killed\n')).toEqual({ state: 'ended', exitCode: null, signal: 'SIGKILL' });
    expect(readEnd('75 - USR1')).toMatchObject({ exitCode: 75, cause: { kind: 'preempted' } });
    expect(readEnd('75 - -')).toEqual({ state: 'ended', exitCode: 75, signal: null });
    expect(readEnd('0 - TERM')).toEqual({ state: 'ended', exitCode: 0, signal: null });
    expect(readEnd('7 -')).toBeUndefined();
    expect(readEnd('')).toBeUndefined();
  });

  it('is what Slurm says where the script could not', () => {
    const end = (state: string, exitCode?: string, timeWasCut = false) =>
      endFromSlurm({ state, reason: 'None', exitCode, timeWasCut });
    const kind = (state: string, timeWasCut = false) => {
      const status = end(state, '0:9', timeWasCut);
      return status.state === 'ended' ? status.cause?.kind : status.state;
    };
    expect(
      ['TIMEOUT', 'OUT_OF_MEMORY', 'NODE_FAIL', 'BOOT_FAIL', 'PREEMPTED', 'CANCELLED'].map((s) => kind(s)),
    ).toEqual(['time-limit', 'out-of-memory', 'node-failed', 'node-failed', 'preempted', 'cancelled']);
    expect(kind('TIMEOUT', true)).toBe('preempted');
    expect(end('COMPLETED')).toMatchObject({ exitCode: 0 });
    expect(end('FAILED', '7:0')).toEqual({ state: 'ended', exitCode: 7, signal: null });
    expect(end('FAILED', '0:9')).toMatchObject({ exitCode: null, signal: 'signal 9' });
    expect(end('FAILED')).toMatchObject({ state: 'vanished' });
    expect(stateFromWords('slurmstepd: error: *** JOB 1 ON n CANCELLED AT t DUE TO TIME LIMIT ***')).toBe(
      'TIMEOUT',
    );
    expect(stateFromWords('hello')).toBeUndefined();
  });
});

describe('what the shell is given', () => {
  it('arrives as it is, however it is spelt', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
        (text) => {
          const script = `${programFile({ workdir: '/w', command: ['a', text], env: { X: text }, processes: 1, masterPort: 1 })}\nprintf '%s|%s' "$X" "\${command[1]}"`;
          expect(execFileSync('bash', ['-c', script], { encoding: 'utf8' })).toBe(`${text}|${text}`);
        },
      ),
      { numRuns: 25 },
    );
    expect(() =>
      programFile({ workdir: '/', command: [], env: { 'A B': '' }, processes: 1, masterPort: 1 }),
    ).toThrow(/name of a variable/);
    expect(quote("it's")).toBe("'it'\\''s'");
  });

  it('of options for sbatch is only what does not change what an attempt is', () => {
    expect(sbatchOptionFault('--constraint=a100&nvlink')).toBeNull();
    expect(sbatchOptionFault('--exclusive')).toBeNull();
    for (const option of [
      '--time=5',
      '--array=0-9',
      '--wrap=rm',
      '-p x',
      '--exclude=a\nb',
      'exclude',
      '--export=ALL',
    ])
      expect(sbatchOptionFault(option)).not.toBeNull();
  });
});
