import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../core/run-cli.js';
import { registerSimulateCommands } from './index.js';

const jobs = `job_id,num_gpu,submit_time,iterations,model_name,iteration_time
0,1,0,1000,dqn,490
1,8,2000,100,vgg16,214
2,4,3000,500,bert,190
`;
const federated = `timestamp,duration,num_gpus,gpu_time,cluster
2017-10-09 07:01:55,66.0,1,66.0,11cb48
2017-10-09 07:02:55,3600,8,28800,6214e9
`;
const pods = `name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
a,4000,1024,1,500,
b,8000,1024,1,1000,
c,2000,1024,0,0,
`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'simulate-'));
  for (const name of ['traces/muri', 'traces/openb', 'traces/philly'])
    mkdirSync(join(folder, name), { recursive: true });
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write('traces/muri/small.csv', jobs);
  write('traces/muri/bad.csv', `${jobs}3,1,0,many,dqn,490\n`);
  write('traces/muri/n8g8.csv', 'num_switch,num_node_p_switch,num_gpu_p_node\n1,1,8\n');
  write('traces/muri/published.json', '{"_restart_overhead_s_by_gpus_and_model":{"1":{"dqn":5}}}');
  write('traces/openb/openb_pod_list_default.csv', pods);
  write(
    'traces/openb/openb_node_list_gpu_node.csv',
    'sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,T4\nn1,32000,262144,4,V100\n',
  );
  write('traces/openb/bad.csv', `${pods}d,1000,1024,1,2000,\n`);
  write('traces/philly/jobs.csv', federated);
  write('traces/philly/bad.csv', `${federated}2017-10-09 07:03:55,66.0,one,66.0,11cb48\n`);
  write('traces/philly/late.csv', federated.replaceAll('2017-10', '2018-10'));
  write('elsewhere.csv', jobs);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function beamtime(argv: string, env: Record<string, string> = { BEAMTIME_DATA: folder }) {
  let out = '';
  let err = '';
  const areas = [{ title: 'Simulating', register: registerSimulateCommands }];
  const exitCode = await runCli(argv.split(' '), '0', areas, {
    env,
    cwd: folder,
    stdout: (text) => {
      out += text;
    },
    stderr: {
      isTerminal: false,
      columns: 80,
      write: (text) => {
        err += text;
      },
    },
    openBrowser: () => undefined,
  });
  return { exitCode, out, err };
}

describe('beamtime simulate', () => {
  it('replays a trace and tells the same twice', async () => {
    const run = async () => {
      const { exitCode, out } = await beamtime(
        'simulate --scenario muri --trace muri/small.csv --policy srsf --json',
      );
      expect(exitCode).toBe(0);
      return JSON.parse(out) as Record<string, unknown>;
    };
    const { wall_s, ...told } = await run();
    expect(wall_s).toBeGreaterThan(0);
    expect(told).toMatchObject({
      scenario: 'muri',
      policy: 'srsf',
      seed: 42,
      jobs: 3,
      labs: {},
      labs_worse_off: 0,
    });
    for (const field of [
      'mean_wait_s',
      'p50_wait_s',
      'p90_wait_s',
      'p99_wait_s',
      'mean_jct_s',
      'p99_jct_s',
      'makespan_s',
      'utilisation',
      'preemptions',
      'lost_gpu_s',
    ])
      expect(told[field], field).toEqual(expect.any(Number));
    expect(await run()).toMatchObject(told);
  });

  it('packs pods on nodes, by the seed', async () => {
    const line = 'simulate --scenario openb --policy beamtime --json --seed';
    const told = async (seed: number) => {
      const { wall_s: _, ...rest } = JSON.parse((await beamtime(`${line} ${seed}`)).out) as Record<
        string,
        unknown
      >;
      return rest;
    };
    expect(await told(7)).toMatchObject({ scenario: 'openb', policy: 'beamtime', seed: 7 });
    expect(await told(7)).toEqual(await told(7));
    expect((await beamtime(`${line.replace(' --json', '')} 7`)).out).toContain(
      'GPUs allocated at 130 % arrived, %',
    );
  });

  it('replays a federation, and what an inflating lab has from it', async () => {
    const line =
      'simulate --scenario fed-philly --policy beamtime --copies 2 --outages --inflate 11cb48 --json';
    const { exitCode, out } = await beamtime(line);
    expect(exitCode).toBe(0);
    const { wall_s: _, ...told } = JSON.parse(out) as Record<string, unknown>;
    expect(told).toMatchObject({
      scenario: 'fed-philly',
      jobs: 4,
      labs_worse_off: 0,
      copies: 2,
      outages: true,
    });
    expect(Object.keys(told['labs'] as object)).toEqual(['11cb48-1', '6214e9-1', '11cb48-2', '6214e9-2']);
    expect(told['inflating']).toMatchObject({ lab: '11cb48-1', gains: false });
    expect(JSON.parse((await beamtime(line)).out)).toMatchObject(told);
  });

  it('takes a trace from elsewhere, by a path from here or an absolute one', async () => {
    for (const path of ['elsewhere.csv', join(folder, 'elsewhere.csv')])
      expect((await beamtime(`simulate --scenario muri --policy srtf --trace ${path}`)).exitCode).toBe(0);
  });

  it.each([
    ['--scenario muri --policy srtf --trace muri/bad.csv', 'line 5: iterations must be a whole number'],
    ['--scenario openb --policy fgd --trace openb/bad.csv', 'line 5: gpu_milli must be'],
    [
      '--scenario fed-philly --policy beamtime --trace philly/bad.csv',
      'line 4: num_gpus must be a whole number',
    ],
    ['--scenario fed-philly --policy beamtime --trace philly/late.csv', 'no job was submitted in the window'],
    [
      '--scenario fed-philly --policy beamtime --inflate nobody',
      '--inflate must be one of 11cb48, 6214e9, not nobody',
    ],
    ['--scenario fed-philly --policy beamtime --load 2', '--load must be a number above 0, up to 1, not 2'],
    [
      '--scenario fed-philly --policy beamtime --copies 0',
      '--copies must be a whole number from 1 to 100, not 0',
    ],
    ['--scenario fed-philly --policy srtf', 'must be one of silo, fifo, share, beamtime, not srtf'],
    ['--scenario muri --policy fgd --trace muri/small.csv', 'must be one of srtf, srsf, tiresias, not fgd'],
    ['--scenario openb --policy srtf', 'must be one of random, dot-product'],
    ['--scenario muri --policy srtf', 'needs --trace'],
    ['--scenario muri --policy srtf --trace muri/none.csv', 'there is no'],
    ['--scenario zoo --policy srtf', '--scenario must be one of muri, openb, fed-philly, not zoo'],
    ['--scenario openb --policy fgd --seed minus-one', '--seed must be a whole number'],
    ['--policy fgd', "required option '--scenario <name>' not specified"],
  ])('%s ends with exit code 2 and one line', async (argv, says) => {
    const { exitCode, out, err } = await beamtime(`simulate ${argv} --json`);
    expect(exitCode).toBe(2);
    expect(out).toBe('');
    expect(err.trim().split('\n')).toHaveLength(1);
    expect((JSON.parse(err) as { detail: string }).detail).toContain(says);
  });

  it('says that BEAMTIME_DATA is missing where that is why a trace is', async () => {
    const { exitCode, err } = await beamtime('simulate --scenario openb --policy fgd', {});
    expect(exitCode).toBe(2);
    expect(err).toContain('BEAMTIME_DATA, which is not set, names the folder of the data');
  });
});
