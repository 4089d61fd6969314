import {
  type JobStreamMessage,
  listJobEvents,
  reportEvents,
  reportLogs,
  streamJob,
} from '@beamtime/contracts';
import { JobStream } from '@beamtime/scheduling';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type SchedulingForTest, type SimulatedAgent, schedulingForTest } from './testing.js';

let at: SchedulingForTest;
let agent: SimulatedAgent;
let pulse: NodeJS.Timeout;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '20000' });
  agent = await (await at.cluster('live', { gpus: 4 })).register();
  // Its lease and its cluster stay alive whatever a test is at.
  pulse = setInterval(() => void agent.sync(false).catch(() => undefined), 1_000);
});
afterAll(async () => {
  clearInterval(pulse);
  await at.close();
});

interface Got {
  readonly id: string;
  readonly message: JobStreamMessage;
}

/** Reads a stream until `enough`, and then cuts the connection. */
async function read(
  jobId: string,
  enough: (got: readonly Got[]) => boolean,
  headers: Record<string, string> = {},
): Promise<Got[]> {
  const cut = new AbortController();
  const options = { timeoutMs: 60_000, signal: cut.signal, headers };
  const response = await at.researcher.raw(streamJob, { params: { jobId } }, options);
  const got: Got[] = [];
  let rest = '';
  try {
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
      rest += Buffer.from(bytes).toString();
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const block = rest.slice(0, end);
        rest = rest.slice(end + 2);
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data !== undefined)
          got.push({ id: /^id: (.*)$/m.exec(block)?.[1] ?? '', message: JSON.parse(data) });
      }
      if (enough(got)) break;
    }
  } finally {
    cut.abort();
  }
  return got;
}
const texts = (got: readonly Got[]) =>
  got.flatMap(({ message }) => (message.type === 'log' ? [message.chunk.text] : []));
const ended = (got: readonly Got[]) => got.at(-1)?.message.type === 'end';

/** An attempt under way that prints and reports as a test wishes. */
async function running() {
  const { jobId } = await at.submit();
  const { ref } = await agent.begin(jobId);
  let seq = 0;
  let event = 0;
  const body = { incarnation: agent.incarnation };
  return {
    jobId,
    ref,
    print: (text: string) =>
      agent.client.call(reportLogs, {
        params: ref,
        body: { ...body, chunks: [{ seq: seq++, offset: 0, stream: 'stdout', text }] },
      }),
    step: (step: number) =>
      agent.client.call(reportEvents, {
        params: ref,
        body: {
          ...body,
          events: [
            {
              seq: event++,
              at: new Date().toISOString(),
              jobId,
              attempt: ref.attempt,
              kind: 'progress',
              phase: 'train',
              fraction: 0.5,
              step,
              loss: 1,
            },
          ],
        },
      }),
  };
}

describe('the live view of a job', { timeout: 90_000 }, () => {
  it('goes on behind the last message after a cut, tells nothing twice, and ends with the job', async () => {
    const job = await running();
    await job.print('one\n');
    await job.step(1);
    const first = await read(
      job.jobId,
      (got) => texts(got).length === 1 && got.some((g) => g.message.type === 'metrics'),
    );
    const lastId = first.at(-1)?.id ?? '';
    await job.print('two\n');
    await job.step(2);
    const second = read(job.jobId, ended, { 'last-event-id': lastId });
    await job.print('three\n');
    await agent.report(job.ref, 'succeeded');
    const rest = await second;
    expect(texts(first)).toEqual(['one\n']);
    expect(texts(rest)).toEqual(['two\n', 'three\n']);
    const points = [...first, ...rest].flatMap(({ message }) =>
      message.type === 'metrics' ? message.points.map((point) => point.step) : [],
    );
    expect(points).toEqual([1, 2]);
    const history = await at.researcher.call(listJobEvents, { params: { jobId: job.jobId }, query: {} });
    const events = [...first, ...rest].flatMap(({ message }) =>
      message.type === 'event' ? [message.event.id] : [],
    );
    expect(events).toEqual(history.items.map((item) => item.id));
    expect(rest.flatMap(({ message }) => (message.type === 'job' ? [message.job.state] : [])).at(-1)).toBe(
      'succeeded',
    );
    // An ended job is told whole to who comes late; a nonsensical id begins at the beginning.
    expect(texts(await read(job.jobId, ended, { 'last-event-id': 'nonsense' }))).toEqual([
      'one\n',
      'two\n',
      'three\n',
    ]);
  });

  it('keeps the last words of an attempt when the next one begins', async () => {
    const job = await running();
    const all = read(job.jobId, ended);
    await job.print('last words\n');
    await agent.report(job.ref, 'failed', { reason: 'it broke' });
    const again = await agent.begin(job.jobId);
    await agent.client.call(reportLogs, {
      params: again.ref,
      body: {
        incarnation: agent.incarnation,
        chunks: [{ seq: 0, offset: 0, stream: 'stdout', text: 'second try\n' }],
      },
    });
    await agent.report(again.ref, 'succeeded');
    expect(texts(await all)).toEqual(['last words\n', 'second try\n']);
  });

  it('is looked at once for all who watch, and not at all when nobody does', async () => {
    const job = await running();
    const stream = at.service.app.get(JobStream);
    const jobs = (stream as unknown as { jobs: { find: (jobId: string) => unknown } }).jobs;
    const looks = vi.spyOn(jobs, 'find');
    const watchers = Array.from({ length: 30 }, () => read(job.jobId, ended));
    await expect.poll(() => stream.watchedJobs, { timeout: 20_000 }).toBe(1);
    await job.print('for all\n');
    looks.mockClear();
    const beganMs = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // One look each 400 ms, and some while it has just changed; 30 readers by themselves would be 150.
    expect(looks.mock.calls.length).toBeLessThan((Date.now() - beganMs) / 400 + 20);
    await agent.report(job.ref, 'succeeded');
    for (const got of await Promise.all(watchers)) expect(texts(got)).toEqual(['for all\n']);
    await expect.poll(() => stream.watchedJobs, { timeout: 20_000 }).toBe(0);
    looks.mockRestore();
  });

  it('waits for a slow reader without reading ahead of it', async () => {
    const job = await running();
    const chunk = 'x'.repeat(60_000);
    for (let n = 0; n < 50; n++) await job.print(chunk);
    await agent.report(job.ref, 'succeeded');
    const stream = at.service.app.get(JobStream);
    const gone = new AbortController();
    const traces = (stream as unknown as { traces: { logsAfter: (...a: unknown[]) => unknown } }).traces;
    const messages = stream.ofJob(job.jobId, { logs: true }, gone.signal);
    let bytes = 0;
    const reads = vi.spyOn(traces, 'logsAfter');
    for (;;) {
      const next = await messages.next();
      if (next.done === true || next.value.message.type === 'end') break;
      if (next.value.message.type !== 'log') continue;
      bytes += next.value.message.chunk.text.length;
      if (bytes === chunk.length) {
        await new Promise((resolve) => setTimeout(resolve, 800));
        expect(reads.mock.calls.length).toBeLessThan(20);
      }
    }
    expect(bytes).toBe(50 * chunk.length);
    reads.mockRestore();
  });

  it('is for those who may see the job', async () => {
    const job = await running();
    const none = at.researcher.as(undefined).raw(streamJob, { params: { jobId: job.jobId } });
    await expect(none).rejects.toThrow(/auth.required/);
    await agent.report(job.ref, 'succeeded');
  });
});
