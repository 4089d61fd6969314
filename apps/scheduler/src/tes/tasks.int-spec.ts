import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  findSpaceFile,
  listJobs,
  listSpaceFiles,
  readJobLogs,
  removeSpaceFile,
  showJob,
  tesCancelTask,
  tesGetTask,
  tesListTasks,
  tesServiceInfo,
} from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SchedulingForTest } from '../testing.js';
import { refusal } from '../testing.js';
import { image, sh, type TesForTest, tesForTest } from './testing.js';

let tes: TesForTest;
let at: SchedulingForTest;
beforeAll(async () => {
  tes = await tesForTest();
  ({ at } = tes);
});
afterAll(() => tes?.close());

describe('a task', { timeout: 90_000 }, () => {
  it('runs its executors in turn over shared files, and leaves outputs, exit codes, times and logs', async () => {
    const stored = await tes.keep('in/stored.txt', 'from the space\n');
    const task = await tes.run({
      name: 'three sources',
      description: 'all kinds of inputs',
      tags: { workflow: 'w1' },
      inputs: [
        { path: '/in/literal.txt', content: 'literal ü\n' },
        { path: '/in/stored.txt', url: stored },
        { path: '/in/web.txt', url: `${tes.webUrl}/file` },
      ],
      volumes: ['/vol'],
      executors: [
        sh('cat /in/literal.txt /in/stored.txt /in/web.txt > /vol/all.txt; echo said; echo moaned >&2', {
          stdout: '/out/first.txt',
        }),
        { image, command: ['sort'], stdin: '/vol/all.txt', stdout: '/out/sorted.txt' },
        sh('echo "$GREETING from $(pwd)"; exit 0', { env: { GREETING: 'hello' }, workdir: '/vol' }),
      ],
      outputs: [
        { path: '/out/sorted.txt', url: `beamtime://${at.labId}/out/sorted.txt` },
        { path: '/out/first.txt', url: `${tes.webUrl}/put/first` },
      ],
    });
    expect(task.state).toBe('COMPLETE');
    expect(await tes.textOf(`beamtime://${at.labId}/out/sorted.txt`)).toBe(
      'from the space\nfrom the web\nliteral ü\n',
    );
    expect(tes.put.get('/put/first')).toBe('said\n');
    const [log] = task.logs ?? [];
    expect(log?.logs.map((one) => one.exit_code)).toEqual([0, 0, 0]);
    expect(log?.logs[0]).toMatchObject({ stdout: 'said\n', stderr: 'moaned\n' });
    expect(log?.logs[2]?.stdout).toMatch(/^hello from .*\/vol\n$/);
    expect(Date.parse(log?.logs[1]?.start_time ?? '')).toBeGreaterThanOrEqual(
      Date.parse(log?.logs[0]?.end_time ?? ''),
    );
    expect(log?.outputs).toEqual([
      { path: '/out/sorted.txt', url: `beamtime://${at.labId}/out/sorted.txt`, size_bytes: '39' },
      { path: '/out/first.txt', url: `${tes.webUrl}/put/first`, size_bytes: '5' },
    ]);
    expect(task).toMatchObject({ name: 'three sources', tags: { workflow: 'w1' } });
    expect(task.inputs?.map((input) => input['type'])).toEqual(['FILE', 'FILE', 'FILE']);
    const job = await at.researcher.call(showJob, { params: { jobId: task.id } });
    expect(job).toMatchObject({ kind: 'command', state: 'succeeded', labId: at.labId });
    expect(job.gpuSecondsUsed).toBeGreaterThan(0);
    const logs = await at.researcher.call(readJobLogs, { params: { jobId: task.id }, query: {} });
    expect(logs.items.map((chunk) => chunk.text).join('')).toContain('moaned');
  });

  it('ends at the first command that fails, with its exit code, and is not tried again', async () => {
    const task = await tes.run({ executors: [sh('exit 0'), sh('echo bad >&2; exit 3'), sh('echo never')] });
    expect(task.state).toBe('EXECUTOR_ERROR');
    expect(task.logs).toHaveLength(1);
    expect(task.logs?.[0]?.logs.map((one) => one.exit_code)).toEqual([0, 3]);
    expect(task.logs?.[0]?.system_logs?.join('\n')).toContain('executor 2 of 3 ended with exit code 3');
    expect((await at.job(task.id)) as object).toMatchObject({ state: 'failed', attempts: 1 });
  });

  it('goes on after a failure that it says to ignore', async () => {
    const task = await tes.run({ executors: [sh('exit 9', { ignore_error: true }), sh('exit 0')] });
    expect(task.state).toBe('COMPLETE');
    expect(task.logs?.[0]?.logs.map((one) => one.exit_code)).toEqual([9, 0]);
  });

  it('tells a program that is not there and one that a signal ended as a shell does', async () => {
    const missing = await tes.run({ executors: [{ image, command: ['/no/such/program'] }] });
    expect(missing.state).toBe('EXECUTOR_ERROR');
    expect(missing.logs?.[0]?.logs[0]?.exit_code).toBe(127);
    const killed = await tes.run({ executors: [sh('kill -TERM $$')] });
    expect(killed.logs?.map((log) => log.logs[0]?.exit_code)).toEqual([143]);
  });

  it('brings in a folder, and what a pattern of file names matches', async () => {
    await tes.keep('tree/a.txt', 'a');
    await tes.keep('tree/deep/b.txt', 'b');
    const task = await tes.run({
      inputs: [{ path: '/in/tree', url: `beamtime://${at.labId}/tree/`, type: 'DIRECTORY' }],
      executors: [
        sh('mkdir -p /out/x && cp -r /in/tree/. /out/x/ && echo 1 > /out/r1.csv && echo no > /out/r1.log'),
      ],
      outputs: [
        { path: '/out/x', url: `beamtime://${at.labId}/copy`, type: 'DIRECTORY' },
        { path: '/out/r[0-9].csv', path_prefix: '/out', url: `beamtime://${at.labId}/tables/` },
      ],
    });
    expect(task.state).toBe('COMPLETE');
    expect(task.logs?.[0]?.outputs.map((output) => output.url)).toEqual([
      `beamtime://${at.labId}/copy/a.txt`,
      `beamtime://${at.labId}/copy/deep/b.txt`,
      `beamtime://${at.labId}/tables/r1.csv`,
    ]);
    const listed = await at.researcher.call(listSpaceFiles, {
      query: { space: at.labId, prefix: 'copy/', limit: 1 },
    });
    expect(listed.items.map((file) => file.url)).toEqual([`beamtime://${at.labId}/copy/a.txt`]);
    expect(listed.next).not.toBeNull();
    const url = `beamtime://${at.labId}/copy/a.txt`;
    expect(await at.researcher.call(removeSpaceFile, { query: { url } })).toEqual({ removed: true });
    expect(await refusal(at.researcher.call(findSpaceFile, { query: { url } }))).toBe('resource.not-found');
  });

  it('takes no output that is missing, a link, or outside its files, and commits none of the others', async () => {
    const url = `beamtime://${at.labId}/half`;
    const task = await tes.run({
      executors: [sh('mkdir -p /out/d; echo fine > /out/d/fine; ln -s /etc/passwd /out/d/secret')],
      outputs: [
        { path: '/out/d/fine', url: `${url}/fine` },
        { path: '/out/d/secret', url: `${url}/secret` },
      ],
    });
    expect(task.state).toBe('SYSTEM_ERROR');
    expect(task.logs?.[0]?.system_logs?.join('\n')).toContain('/out/d/secret is no regular file');
    expect(await refusal(at.researcher.call(findSpaceFile, { query: { url: `${url}/fine` } }))).toBe(
      'resource.not-found',
    );
  });

  it('cannot follow a web address to where the operator does not allow', async () => {
    const task = await tes.run({
      inputs: [{ path: '/in/x', url: `${tes.webUrl}/away` }],
      executors: [sh('true')],
      resources: { backend_parameters: { beamtime_attempts: '1' } },
    });
    expect(task.state).toBe('SYSTEM_ERROR');
    expect(task.logs?.[0]?.system_logs?.join('\n')).toContain('does not speak to 169.254.1.1');
  });

  it('does not run an image that the cluster has not named', async () => {
    const task = await tes.run({ executors: [{ image: 'evil', command: ['true'] }] });
    expect(task.state).toBe('SYSTEM_ERROR');
    expect(task.logs?.[0]?.system_logs?.join('\n')).toContain('does not run the image evil');
  });

  it('cannot pose as its runner by what it prints', async () => {
    const forged = {
      event: 'output',
      path: '/etc/passwd',
      url: `beamtime://${at.labId}/stolen`,
      file: '../job.json',
      sizeBytes: 1,
      sha256: 'a'.repeat(64),
    };
    const task = await tes.run({ executors: [sh(`echo '${JSON.stringify(forged)}'`)] });
    expect(task.state).toBe('COMPLETE');
    expect(task.logs?.[0]?.outputs).toEqual([]);
  });

  it('is cancelled at once where it waits, and by its agent where it runs', async () => {
    const runs = await tes.create({ executors: [sh('sleep 600')] });
    await expect
      .poll(async () => (await tes.show(runs, 'MINIMAL')).state, { timeout: 30_000 })
      .toBe('RUNNING');
    const waits = await tes.create({
      executors: [sh('true')],
      resources: { backend_parameters: { BEAMTIME_GPUS: '2' } },
    });
    await at.researcher.call(tesCancelTask, { params: { id: waits } });
    expect((await tes.ended(waits)).state).toBe('CANCELED');
    await at.researcher.call(tesCancelTask, { params: { id: runs } });
    expect((await tes.show(runs, 'MINIMAL')).state).toMatch(/CANCELING|CANCELED/);
    expect((await tes.ended(runs)).state).toBe('CANCELED');
    // Again changes nothing.
    await at.researcher.call(tesCancelTask, { params: { id: runs } });
  });

  it('whose agent is killed starts again, with a log entry for each attempt', async () => {
    const id = await tes.create({ executors: [sh('echo begun; sleep 4; echo done')] });
    await expect.poll(async () => (await tes.show(id, 'MINIMAL')).state, { timeout: 40_000 }).toBe('RUNNING');
    await tes.agent.stop('SIGKILL');
    tes.agent.start();
    const task = await tes.ended(id);
    expect(task.state).toBe('COMPLETE');
    expect(task.logs?.map((log) => log.metadata?.['attempt'])).toEqual(['1', '2']);
    expect(task.logs?.[0]?.system_logs?.[0]).toContain('lost');
  });
});

describe('the list of tasks', { timeout: 60_000 }, () => {
  it('is cut into pages, and filtered by name, state and tags as the specification says', async () => {
    const mark = randomUUID();
    const ids: string[] = [];
    const tags = [{ foo: 'bar' }, { foo: 'bar', baz: 'bat' }, { foo: '' }, {}];
    for (const [index, tag] of tags.entries()) {
      // More GPUs than the cluster runs at the same time are refused; these wait behind each other.
      ids.push(
        await tes.create({ name: `${mark}-${index}`, tags: { mark, ...tag }, executors: [sh('true')] }),
      );
    }
    const found = async (query: object) => {
      const { tasks } = await at.researcher.call(tesListTasks, { query: query as never });
      return tasks.map((task) => ids.indexOf(task.id));
    };
    for (const id of ids) await tes.ended(id);
    expect(await found({ name_prefix: mark })).toEqual([3, 2, 1, 0]);
    expect(await found({ name_prefix: `${mark}-2` })).toEqual([2]);
    expect(await found({ tag_key: ['mark', 'foo'], tag_value: [mark, 'bar'] })).toEqual([1, 0]);
    expect(await found({ tag_key: ['mark', 'foo'], tag_value: [mark, ''] })).toEqual([2, 1, 0]);
    expect(await found({ tag_key: ['mark', 'foo'], tag_value: [mark] })).toEqual([2, 1, 0]);
    expect(await found({ tag_key: ['mark', 'foo', 'baz'], tag_value: [mark, 'bar', 'bat'] })).toEqual([1]);
    expect(await found({ name_prefix: mark, state: 'COMPLETE' })).toHaveLength(4);
    expect(await found({ name_prefix: mark, state: 'RUNNING' })).toEqual([]);
    expect(await found({ name_prefix: mark, state: 'PAUSED' })).toEqual([]);
    const first = await at.researcher.call(tesListTasks, { query: { name_prefix: mark, page_size: 3 } });
    expect(first.tasks).toHaveLength(3);
    expect(Object.keys(first.tasks[0] ?? {})).toEqual(['id', 'state']);
    const second = await at.researcher.call(tesListTasks, {
      query: { name_prefix: mark, page_size: 3, page_token: first.next_page_token },
    });
    expect(second.tasks.map((task) => task.id)).toEqual([ids[0]]);
    expect(second.next_page_token).toBeUndefined();
    const call = (query: object) => refusal(at.researcher.call(tesListTasks, { query: query as never }));
    expect(await call({ page_size: 2_048 })).toBe('request.invalid');
    expect(await call({ tag_value: ['x'] })).toBe('request.invalid');
    expect(await call({ state: 'DONE' })).toBe('request.invalid');
  });

  it('shows as much of a task as the view says', async () => {
    const task = await tes.run({
      name: 'views',
      inputs: [{ path: '/in/a', content: 'secret' }],
      executors: [sh('cat /in/a')],
    });
    const basic = await tes.show(task.id, 'BASIC');
    expect(basic.executors).toHaveLength(1);
    expect(JSON.stringify(basic.logs)).not.toContain('stdout');
    expect(JSON.stringify(basic.inputs)).not.toContain('secret');
    expect(basic.logs?.[0]).not.toHaveProperty('system_logs');
    expect(await tes.show(task.id, 'MINIMAL')).toEqual({ id: task.id, state: 'COMPLETE' });
    expect(task.inputs?.[0]).toMatchObject({ content: 'secret' });
  });
});

describe('a task is refused', { timeout: 60_000 }, () => {
  const faultOf = async (body: object): Promise<string> => {
    try {
      await tes.create(body);
    } catch (error) {
      return (error as Error).message;
    }
    return 'not refused';
  };
  const one = { executors: [{ image, command: ['true'] }] };

  it('with every reason at once, in words that say what to write instead', async () => {
    expect(await faultOf({ executors: [] })).toContain('body.executors');
    expect(await faultOf({ ...one, inputs: [{ path: 'relative', content: '' }] })).toContain('absolute path');
    expect(await faultOf({ ...one, inputs: [{ path: '/a/../b', content: '' }] })).toContain(
      'without . or ..',
    );
    expect(await faultOf({ ...one, inputs: [{ path: '/a/b' }] })).toContain(
      'needed, unless content is given',
    );
    expect(await faultOf({ ...one, inputs: [{ path: '/a/b', url: 'file:///etc/passwd' }] })).toContain(
      'file: cannot be reached',
    );
    expect(await faultOf({ ...one, inputs: [{ path: '/a/b', url: '/home/me/x' }] })).toContain(
      'a path of your machine cannot be reached',
    );
    expect(
      await faultOf({ ...one, inputs: [{ path: '/a/b', url: `beamtime://${at.labId}/none` }] }),
    ).toContain('there is no such file');
    const foreign = `lab_${'0'.repeat(26)}`;
    expect(await faultOf({ ...one, inputs: [{ path: '/a/b', url: `beamtime://${foreign}/x` }] })).toContain(
      'not yours to read',
    );
    expect(await faultOf({ ...one, outputs: [{ path: '/a/b', url: `beamtime://${foreign}/x` }] })).toContain(
      'may write into',
    );
    expect(await faultOf({ ...one, outputs: [{ path: '/b', url: `beamtime://${at.labId}/x` }] })).toContain(
      'put outputs into a folder',
    );
    expect(await faultOf({ ...one, outputs: [{ path: '/a/*', url: `beamtime://${at.labId}/x` }] })).toContain(
      'path_prefix',
    );
    const twice = [
      { path: '/a/b', content: '1' },
      { path: '/a/b', content: '2' },
    ];
    expect(await faultOf({ ...one, inputs: twice })).toContain('two inputs have the path /a/b');
  });

  it('for parameters that are not supported only if it is strict; otherwise it is told', async () => {
    const resources = { backend_parameters: { VmSize: 'huge', Beamtime_Max_Seconds: '60' } };
    expect(await faultOf({ ...one, resources: { ...resources, backend_parameters_strict: true } })).toContain(
      'VmSize: not supported',
    );
    const task = await tes.run({ ...one, resources });
    expect(task.resources?.['backend_parameters']).toEqual({ Beamtime_Max_Seconds: '60' });
    expect(task.logs?.at(-1)?.system_logs?.join('\n')).toContain('VmSize is not supported');
    expect(await at.job(task.id)).toMatchObject({ resources: { maxSeconds: 60 } });
    expect(await faultOf({ ...one, resources: { backend_parameters: { beamtime_gpus: 'many' } } })).toContain(
      'a whole number from 1 to',
    );
  });

  it('when no cluster could ever run it', async () => {
    expect(await faultOf({ ...one, resources: { backend_parameters: { beamtime_gpus: '3' } } })).toMatch(
      /No cluster could ever run this job.*2 GPUs/,
    );
    expect(await faultOf({ ...one, resources: { cpu_cores: 5_000 } })).toMatch(/needs 5000 processors/);
    expect(await faultOf({ ...one, resources: { ram_gb: 900_000 } })).toMatch(/MiB of memory/);
  });

  it('to who may not see it, and to nobody without a token', async () => {
    const id = await tes.create(one);
    const stranger = (await at.stranger()).call(tesGetTask, { params: { id }, query: {} });
    expect(await refusal(stranger)).toBe('resource.not-found');
    const theirs = await (await at.stranger()).call(tesListTasks, { query: {} });
    expect(theirs.tasks).toEqual([]);
    const all = await at.secretariat.call(tesListTasks, { query: {} });
    expect(all.tasks.map((task) => task.id)).toContain(id);
    expect(await refusal(at.researcher.as(undefined).call(tesListTasks, { query: {} }))).toBe(
      'auth.required',
    );
    expect(await refusal(at.researcher.call(tesGetTask, { params: { id: 'nonsense' }, query: {} }))).toBe(
      'resource.not-found',
    );
    // The job is seen by everybody, as all jobs are; what its commands are is for its lab.
    const seen = await (await at.stranger()).call(showJob, { params: { jobId: id } });
    expect(seen.runner).toEqual({ kind: 'command' });
    await tes.ended(id);
  });
});

describe('the service', () => {
  it('says what it is to everybody, and takes the token as a password too', async () => {
    const info = await at.researcher.as(undefined).call(tesServiceInfo, {});
    expect(info.type).toEqual({ group: 'org.ga4gh', artifact: 'tes', version: '1.1.0' });
    expect(info.tesResources_backend_parameters).toContain('beamtime_gpus');
    const basic = (token: string) =>
      fetch(`${at.service.url}/ga4gh/tes/v1/tasks`, {
        headers: { authorization: `Basic ${Buffer.from(`me:${token}`).toString('base64')}` },
      });
    expect((await basic(at.researcherToken)).status).toBe(200);
    expect((await basic('bts_wrong')).status).toBe(401);
    const elsewhere = await fetch(`${at.service.url}/jobs`, {
      headers: { authorization: `Basic ${Buffer.from(`me:${at.researcherToken}`).toString('base64')}` },
    });
    expect(elsewhere.status).toBe(401);
    expect((await at.researcher.call(listJobs, { query: { kind: 'command' } })).items.length).toBeGreaterThan(
      0,
    );
    expect(existsSync(tes.agent.stateDir)).toBe(true);
  });
});

const inVenv = fileURLToPath(new URL('../../../../.beamtime/tes-test-venv/bin/python', import.meta.url));
const python = process.env['BEAMTIME_TES_PYTHON'] ?? (existsSync(inVenv) ? inVenv : undefined);
const script = fileURLToPath(new URL('./tes-client.py', import.meta.url));
if (python === undefined)
  process.stdout.write(
    'Skipped: the TES clients py-tes and pydantic-tes are not installed (`npm test` tries to; BEAMTIME_TES_PYTHON names a Python that has them)\n',
  );

describe.skipIf(python === undefined)('a real TES client', { timeout: 240_000 }, () => {
  it('submits, waits, reads, lists and cancels, and every answer fits the published schema', async () => {
    const ran = await promisify(execFile)(
      python ?? '',
      [script, at.service.url, at.researcherToken, at.labId, 'localhost/host:1'],
      { timeout: 220_000 },
    ).catch((error: { stdout?: string; stderr?: string }) => ({
      stdout: error.stdout ?? '',
      stderr: error.stderr ?? String(error),
    }));
    expect(ran.stdout, ran.stderr).toContain('all answers fit');
  });
});
