import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalExecutor } from '@beamtime/executors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from './agent.js';
import type { AgentConfig } from './agent-config.js';
import { drainFile } from './attempt-files.js';

/** A facility that offers whatever a test wishes, and notes what the agent answers. */
class UnfriendlyFacility {
  readonly declined = new Map<string, { code: string; reason: string }>();
  readonly accepted: string[] = [];
  readonly reported: { job: string; state: string; reason?: string }[] = [];
  syncs = 0;
  draining = false;
  offers: object[] = [];
  times: object = { leaseTtlMs: 5_000, longPollMs: 100, pollIntervalMs: 10, stopMarginMs: 1_000 };
  assignment: (job: string) => object = () => ({});
  /** Sent instead of a proper answer to a sync. */
  nonsense: unknown;
  private server: Server | undefined;
  url = '';

  async start(): Promise<void> {
    this.server = createServer((request, response) => {
      let text = '';
      request.on('data', (part) => (text += part));
      request.on('end', () => {
        const answer = this.answer(request.url ?? '', text === '' ? {} : JSON.parse(text));
        response.setHeader('content-type', 'application/json');
        response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => this.server?.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }
  stop(): void {
    this.server?.closeAllConnections();
    this.server?.close();
  }

  private answer(path: string, body: Record<string, unknown>): unknown {
    if (path === '/agent/register')
      return {
        clusterId: `clu_${'0'.repeat(26)}`,
        clusterName: 'c',
        labId: `lab_${'0'.repeat(26)}`,
        incarnation: 1,
        times: this.times,
        gatewayUrls: [],
        serverTime: new Date().toISOString(),
        surprise: { nested: ['unknown'] },
      };
    if (path === '/agent/sync') {
      this.syncs++;
      this.draining = body['draining'] === true;
      if (this.nonsense !== undefined) {
        const { nonsense } = this;
        this.nonsense = undefined;
        return nonsense;
      }
      const held = (body['attempts'] as { jobId: string; attempt: number }[]).map(({ jobId, attempt }) => ({
        jobId,
        attempt,
      }));
      return {
        times: this.times,
        // Whatever the operator wishes, this facility says that all is well.
        clusterState: 'active',
        offers: this.offers,
        renewed: held,
        cancel: [],
        preempt: [],
        stop: [],
        unknownField: Number.MAX_SAFE_INTEGER,
      };
    }
    if (path === '/agent/advance')
      return {
        results: (body['items'] as Said[]).map((item) => ({ ok: true, assignment: this.hear(item) })),
      };
    const [, , , job = '', , action = ''] = path.split('/');
    if (action === 'decline') this.declined.set(job, body as { code: string; reason: string });
    if (action === 'logs') return { keptBytes: 0, limitBytes: 1_000_000 };
    if (action === 'events') return { nextSeq: 0 };
    return {};
  }

  private hear({ kind, jobId, ...rest }: Said): object | null {
    if (kind === 'report') this.reported.push({ job: jobId, ...rest });
    if (kind !== 'accept') return null;
    this.accepted.push(jobId);
    return this.assignment(jobId);
  }
}
interface Said {
  readonly kind: string;
  readonly jobId: string;
  readonly state: string;
}

let count = 0;
/** An offer of a job of its own. */
function offer(
  more: { resources?: object } & Record<string, unknown> = {},
): { jobId: string } & Record<string, unknown> {
  const { resources = {}, ...rest } = more;
  return {
    jobId: `job_${String(++count).padStart(26, '0')}`,
    attempt: 1,
    kind: 'train',
    labId: ownLab,
    suiteId: null,
    expiresInMs: 60_000,
    resources: { gpus: 1, maxSeconds: 60, checkpoint: true, ...resources },
    ...rest,
  };
}
const ownLab = `lab_${'1'.repeat(26)}`;
const evaluate = (jobId: string, more: object = {}) => ({
  runner: {
    schema: 'beamtime.runner-job/1',
    jobId,
    attempt: 1,
    kind: 'evaluate',
    revisions: [{ revision: 'step1', path: 'revisions/step1' }],
    tasks: [{ task: 'headScores' }],
  },
  inputs: [],
  resume: null,
  resources: { gpus: 1, maxSeconds: 60, checkpoint: true },
  secondsLeft: 60,
  modelId: null,
  ...more,
});

let facility: UnfriendlyFacility;
let agent: Agent;
let ran: Promise<void>;
let stateDir: string;
const policy: AgentConfig['policy'] = {
  kinds: ['train', 'evaluate'],
  labIds: [ownLab],
  consortium: false,
  gpusPerJobMax: 2,
  secondsPerJobMax: 3_600,
  hoursUtc: null,
};

function begin(more: Partial<AgentConfig['policy']> = {}): void {
  const runner = { command: [process.execPath, '-e', 'setTimeout(() => {}, 300)', '--'], passEnv: [] };
  agent = new Agent(
    {
      facility: facility.url,
      key: 'bta_key',
      ownFiles: [],
      stateDir,
      gpus: { count: 2, type: 'cpu', memoryMiB: null },
      executor: 'local',
      runner,
      cacheBytesMax: 1_000_000,
      policy: { ...policy, ...more },
    } as AgentConfig,
    new LocalExecutor({ ...runner, stateDir }),
    () => undefined,
  );
  ran = agent.run();
}

beforeEach(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'beamtime-unfriendly-'));
  facility = new UnfriendlyFacility();
  await facility.start();
});
afterEach(async () => {
  agent.stop();
  await ran;
  facility.stop();
  rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
});

describe('an agent whose facility wishes what its operator forbids', { timeout: 60_000 }, () => {
  it('declines each with the reason, and runs nothing of it', async () => {
    const hour = new Date().getUTCHours();
    const forbidden: [ReturnType<typeof offer>, string, string][] = [
      [offer({ kind: 'serve' }), 'policy', 'no serve jobs'],
      [offer({ kind: 'command' }), 'policy', 'no command jobs'],
      [offer({ labId: `lab_${'2'.repeat(26)}` }), 'policy', 'no jobs of this lab'],
      [offer({ labId: null }), 'policy', 'no jobs of the consortium'],
      [offer({ suiteId: `sui_${'0'.repeat(26)}` }), 'policy', 'no jobs of the consortium'],
      [offer({ resources: { gpus: 4_096 } }), 'policy', 'up to 2 GPUs'],
      [offer({ resources: { maxSeconds: 31_536_000 } }), 'policy', 'up to 3600 s'],
    ];
    facility.offers = forbidden.map(([one]) => one);
    begin();
    await expect.poll(() => facility.declined.size, { timeout: 20_000 }).toBe(forbidden.length);
    for (const [{ jobId }, code, reason] of forbidden) {
      expect(facility.declined.get(jobId)?.code).toBe(code);
      expect(facility.declined.get(jobId)?.reason).toContain(reason);
    }
    // Its hours, changed while it runs.
    const late = offer();
    facility.offers = [];
    agent.adopt({ ...policy, hoursUtc: { from: (hour + 2) % 24, to: ((hour + 3) % 24) + 1 } });
    facility.offers = [late];
    await expect.poll(() => facility.declined.get(late.jobId)?.reason, { timeout: 20_000 }).toContain('hour');
    expect(facility.accepted).toEqual([]);
  });

  it('says that it lacks the GPUs when it is offered more than there are', async () => {
    const huge = offer({ resources: { gpus: 3 } });
    facility.offers = [huge];
    begin({ gpusPerJobMax: null });
    await expect.poll(() => facility.declined.get(huge.jobId)?.code, { timeout: 20_000 }).toBe('capacity');
    expect(facility.declined.get(huge.jobId)?.reason).toContain('only 2 GPUs');
  });

  it('drains when its operator says so, also when the facility calls it active and goes on offering', async () => {
    writeFileSync(join(stateDir, drainFile), '');
    begin();
    await expect.poll(() => facility.draining, { timeout: 20_000 }).toBe(true);
    const wished = offer({ kind: 'evaluate' });
    facility.offers = [wished];
    await expect.poll(() => facility.declined.get(wished.jobId)?.code, { timeout: 20_000 }).toBe('draining');
    facility.offers = [];
    rmSync(join(stateDir, drainFile));
    await expect.poll(() => facility.draining, { timeout: 20_000 }).toBe(false);
    agent.drain();
    const another = offer({ kind: 'evaluate' });
    facility.offers = [another];
    await expect.poll(() => facility.declined.get(another.jobId)?.code, { timeout: 20_000 }).toBe('draining');
    expect(facility.accepted).toEqual([]);
  });

  it('does not run what came in the place of what was offered', async () => {
    const disguised = offer({ kind: 'evaluate' });
    facility.assignment = (jobId) => ({
      ...evaluate(jobId),
      runner: {
        schema: 'beamtime.command-job/1',
        jobId,
        attempt: 1,
        kind: 'command',
        contents: [],
        downloads: [],
        staged: [],
        volumes: [],
        executors: [
          {
            image: 'x',
            command: ['touch', join(stateDir, 'owned')],
            workdir: null,
            stdin: null,
            stdout: null,
            stderr: null,
            env: {},
            ignoreError: false,
          },
        ],
        outputs: [],
        cpus: null,
        memoryMiB: null,
        diskMiB: null,
      },
    });
    facility.offers = [disguised];
    begin();
    const failure = () => facility.reported.find(({ job }) => job === disguised.jobId);
    await expect.poll(failure, { timeout: 20_000 }).toMatchObject({ state: 'failed' });
    expect(failure()?.reason).toContain('offered evaluate and sent command');
    const wide = offer({ kind: 'evaluate' });
    facility.assignment = (jobId) =>
      evaluate(jobId, { resources: { gpus: 2, maxSeconds: 60, checkpoint: true } });
    facility.offers = [wide];
    await expect
      .poll(() => facility.reported.find(({ job }) => job === wide.jobId)?.reason, { timeout: 20_000 })
      .toContain('offered a job of 1 GPUs and sent one of 2');
  });

  it('ends a program by the time that was offered, whatever the facility then grants', async () => {
    const short = offer({ kind: 'evaluate', resources: { maxSeconds: 1 } });
    facility.assignment = (jobId) => evaluate(jobId, { secondsLeft: 31_536_000 });
    facility.offers = [short];
    const runner = { command: [process.execPath, '-e', 'setTimeout(() => {}, 600000)', '--'], passEnv: [] };
    agent = new Agent(
      {
        facility: facility.url,
        key: 'bta_key',
        ownFiles: [],
        stateDir,
        gpus: { count: 2, type: 'cpu', memoryMiB: null },
        executor: 'local',
        runner,
        cacheBytesMax: 1_000_000,
        policy,
      } as AgentConfig,
      new LocalExecutor({ ...runner, stateDir }),
      () => undefined,
    );
    ran = agent.run();
    const end = () => facility.reported.find(({ job, state }) => job === short.jobId && state === 'failed');
    await expect.poll(end, { timeout: 20_000 }).toMatchObject({ reason: 'the time bound is used up' });
  });

  it('bears answers that are none, huge numbers, and files that would lie outside its folder', async () => {
    begin();
    for (const nonsense of [
      '<html>',
      'null',
      { offers: 'all' },
      { times: { leaseTtlMs: -1 } },
      {
        times: facility.times,
        clusterState: 'active',
        offers: [offer({ resources: { gpus: 1e9 } })],
        renewed: [],
        cancel: [],
        preempt: [],
        stop: [],
      },
    ]) {
      const before = facility.syncs;
      facility.nonsense = nonsense;
      await expect.poll(() => facility.syncs, { timeout: 20_000 }).toBeGreaterThan(before + 1);
    }
    expect(facility.accepted).toEqual([]);
    // Intervals of a year do not put it to sleep.
    facility.times = { leaseTtlMs: 3e10, longPollMs: 100, pollIntervalMs: 3e10, stopMarginMs: 3e10 };
    const climbing = offer({ kind: 'evaluate' });
    facility.assignment = (jobId) =>
      evaluate(jobId, {
        inputs: [{ path: '../../escaped', sizeBytes: 1, sha256: '0'.repeat(64), url: `${facility.url}/x` }],
      });
    facility.offers = [climbing];
    agent.drain(false);
    await expect.poll(() => facility.accepted.includes(climbing.jobId), { timeout: 20_000 }).toBe(true);
    // It cannot be read, so it is never begun.
    expect(
      facility.reported.filter(({ job, state }) => job === climbing.jobId && state === 'running'),
    ).toEqual([]);
    facility.offers = [];
    agent.kill();
  });
});
