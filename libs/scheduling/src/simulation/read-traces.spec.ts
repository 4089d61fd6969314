import { describe, expect, it } from 'vitest';
import { readMuriCluster, readMuriOverheads, readMuriTrace } from './read-muri.js';
import { readOpenbNodes, readOpenbPods } from './read-openb.js';
import { readPhillyTrace } from './read-philly.js';

const cluster = { switches: 1, nodesPerSwitch: 2, gpusPerNode: 4 };
const head = 'job_id,num_gpu,submit_time,iterations,model_name,iteration_time,priority';
const good = '0,1,0,10,dqn,490,1';

function detail(rows: string[], of = readMuriTrace): string | null {
  const read = of([head, ...rows].join('\n'), cluster);
  return read.ok ? null : read.error.detail;
}

describe('a trace of Muri', () => {
  it('is read in seconds, slowed by 1.015, in the order of submission', () => {
    const read = readMuriTrace(`${head}\r\n1,8,2000,5,bert,244,0\r\n${good}\r\n\r\n`, cluster);
    expect(read).toEqual({
      ok: true,
      value: [
        {
          name: '0',
          gpus: 1,
          submittedSeconds: 0,
          iterations: 10,
          secondsPerIteration: (490 * 1.015) / 1000,
          model: 'dqn',
        },
        {
          name: '1',
          gpus: 8,
          submittedSeconds: 2,
          iterations: 5,
          secondsPerIteration: (244 * 1.015) / 1000,
          model: 'bert',
        },
      ],
    });
  });

  it.each([
    [['1,x,0,10,dqn,490,1'], 'line 3: num_gpu must be a whole number from 1 to 100000, not "x"'],
    [['1,0,0,10,dqn,490,1'], 'line 3: num_gpu must be a whole number from 1 to 100000, not "0"'],
    [['1,1,-5,10,dqn,490,1'], 'line 3: submit_time must be a number of at least 0, not "-5"'],
    [['1,1,NaN,10,dqn,490,1'], 'line 3: submit_time must be a number of at least 0, not "NaN"'],
    [['1,1,1e400,10,dqn,490,1'], 'line 3: submit_time must be a number of at least 0, not "1e400"'],
    [['1,1,0,10,dqn,0,1'], 'line 3: iteration_time must be a number above 0, not "0"'],
    [['1,1,0,10,,490,1'], 'line 3: model_name must be a name, not nothing'],
    [['1,1,0,10'], 'line 3: 4 cells where the header has 7'],
    [['', '1,1,0,10,dqn,490,1'], 'line 3: 1 cells where the header has 7'],
    [['0,1,0,10,dqn,490,1'], 'line 3: job_id 0 stands already in line 2'],
    [['1,9,0,10,dqn,490,1'], 'line 3: the job asks for 9 GPUs, all that is there is 8'],
  ])('with the rows %j is refused: %s', (rows, says) => {
    expect(detail([good, ...rows])).toBe(says);
  });

  it('that is empty, or lacks a column or rows, is refused', () => {
    const refused = (text: string) => {
      const read = readMuriTrace(text, cluster);
      return read.ok ? null : read.error.detail;
    };
    expect(refused('')).toBe('the file is empty; its first line must name the columns');
    expect(refused('job_id,num_gpu\n')).toContain('line 1: there is no column submit_time');
    expect(refused(head)).toBe('line 2: there is no row below the header');
  });
});

it('a cluster of Muri is one row, its overheads are in the file of published results', () => {
  const names = 'num_switch,num_node_p_switch,num_gpu_p_node,num_cpu_p_node,mem_p_node';
  expect(readMuriCluster(`${names}\n1,4,2,92,520`)).toMatchObject({ ok: true, value: { gpusPerNode: 2 } });
  expect(readMuriCluster(`${names}\n1,4,2,92,520\n1,4,2,92,520`)).toMatchObject({ ok: false });
  expect(readMuriOverheads('{"_restart_overhead_s_by_gpus_and_model": {"1": {"dqn": 5}}}')).toEqual({
    ok: true,
    value: { 1: { dqn: 5 } },
  });
  expect(readMuriOverheads('nonsense')).toMatchObject({ ok: false });
  expect(readMuriOverheads('{}')).toMatchObject({ ok: false });
});

describe('the openb trace', () => {
  const pods = 'name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec';
  const refused = (row: string) => {
    const read = readOpenbPods(`${pods}\na,1000,1,1,500,\n${row}`);
    return read.ok ? null : read.error.detail;
  };

  it('is read by name, with the types of GPU that a pod accepts', () => {
    expect(readOpenbPods(`${pods}\nb,0,0,0,0,\na,8000,1024,1,460,T4|V100\n`)).toEqual({
      ok: true,
      value: [
        { name: 'a', cpuMilli: 8000, memoryMiB: 1024, gpus: 1, gpuShareMilli: 460, gpuTypes: ['T4', 'V100'] },
        { name: 'b', cpuMilli: 0, memoryMiB: 0, gpus: 0, gpuShareMilli: 0, gpuTypes: [] },
      ],
    });
  });

  it('refuses pods and nodes that cannot be', () => {
    expect(refused('b,1,1,2,500,')).toBe('line 3: only a pod of one GPU may share it, this one asks for 2');
    expect(refused('b,1,1,1,0,')).toBe('line 3: gpu_milli must be from 1 to 1000 where num_gpu is 1');
    expect(refused('b,1,1,1,1001,')).toContain('line 3: gpu_milli must be a whole number from 0 to 1000');
    expect(refused('a,1,1,1,500,')).toBe('line 3: a stands already in line 2');
    expect(refused('b,1,1,-1,500,')).toContain('line 3: num_gpu must be a whole number');
    expect(refused('b,1,1')).toBe('line 3: 3 cells where the header has 6');
    expect(readOpenbNodes('sn,cpu_milli,memory_mib,gpu,model\nn,1000,1,1,T4\nm,many,1,1,T4')).toMatchObject({
      ok: false,
      error: { detail: expect.stringContaining('line 3: cpu_milli must be a whole number') },
    });
    expect(readOpenbNodes('sn,cpu_milli,memory_mib,gpu,model\nn,1000,1,0,')).toEqual({
      ok: false,
      error: { detail: 'no node has a GPU' },
    });
  });
});

describe('the Philly trace', () => {
  const head = 'timestamp,duration,num_gpus,gpu_time,cluster';
  const good = '2017-10-03 00:00:01,66.5,2,133,11cb48';
  const read = (...rows: string[]) => readPhillyTrace([head, good, ...rows].join('\n'));

  it('is read from the beginning of the window, by time of submission, without what lies outside', () => {
    const rows = [
      '2017-10-03 00:00:00,1,1,1,b436b2',
      '2017-10-02 23:59:59,1,1,1,b436b2',
      '2017-12-15 00:00:00,1,1,1,b436b2',
      '2017-11-01 00:00:00,1,1,1,795a4c',
    ];
    expect(read(...rows)).toEqual({
      ok: true,
      value: [
        { submitMs: 0, durationMs: 1_000, gpus: 1, labId: 'b436b2' },
        { submitMs: 1_000, durationMs: 66_500, gpus: 2, labId: '11cb48' },
      ],
    });
  });

  it.each([
    ['2017-13-03 00:00:01,66,1,66,a', 'line 3: timestamp must be a time such as 2017-10-09 07:01:55, not'],
    ['yesterday,66,1,66,a', 'line 3: timestamp must be a time such as 2017-10-09 07:01:55, not "yesterday"'],
    [',66,1,66,a', 'line 3: timestamp must be a time such as 2017-10-09 07:01:55, not nothing'],
    ['2017-10-09 07:01:55,-1,1,66,a', 'line 3: duration must be a number of at least 0'],
    [
      '2017-10-09 07:01:55,1e308,1,66,a',
      'line 3: duration must be a number of at least 0 and at most 315360000',
    ],
    ['2017-10-09 07:01:55,66,0,66,a', 'line 3: num_gpus must be a whole number from 1 to 4096, not "0"'],
    ['2017-10-09 07:01:55,66,1.5,66,a', 'line 3: num_gpus must be a whole number from 1 to 4096, not "1.5"'],
    ['2017-10-09 07:01:55,66,1,66,', 'line 3: cluster must be a name, not nothing'],
    ['2017-10-09 07:01:55,66,1', 'line 3: 3 cells where the header has 5'],
  ])('with the row %s is refused', (row, says) => {
    const refused = read(row);
    expect(refused.ok ? null : refused.error.detail).toContain(says);
  });
});
