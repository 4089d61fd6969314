// Simulated agents: they speak the whole agent protocol over HTTP and hold real leases; only the program is missing,
// whose running is a timer.
import { randomUUID } from 'node:crypto';
import * as contracts from '@beamtime/contracts';
import { HttpClient } from './http.mjs';

const { acceptAttempt, advanceAttempts, jobKindsByDefault, registerAgent, reportAttempt, syncAgent } =
  contracts;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const keyOf = (ref) => `${ref.jobId}.${ref.attempt}`;
/** What an agent says within so long travels together. */
const gatherMs = 10;
const itemsPerCallMax = 200;
const rememberedMost = 1_000;

export class SimulatedAgent {
  /**
   * @param options.runMs how long a job runs, by its offer
   * @param options.protocol `batch`: many accepts and reports in one call; `single`: a call each
   * @param options.onDone called when the success of an attempt is confirmed, so committed
   */
  constructor(url, key, options) {
    this.client = new HttpClient(url, key, options.protocol === 'single' ? 64 : 4);
    this.options = options;
    this.known = new Map();
    /** What has just ended: an answer that was under way meanwhile may still offer it. */
    this.ended = new Set();
    this.queue = [];
    this.stopped = false;
    this.instanceId = randomUUID();
    this.inventory = {
      gpus: options.gpus,
      gpuType: 'sim',
      gpuMemoryMiB: 80_000,
      executor: 'local',
      hostName: 'bench',
      cpus: 2,
      memoryMiB: 1_000,
    };
    this.policy = {
      kinds: [...jobKindsByDefault],
      labIds: options.labIds ?? null,
      consortium: true,
      gpusPerJobMax: null,
      secondsPerJobMax: null,
      hoursUtc: null,
    };
  }

  async register() {
    const body = {
      instanceId: this.instanceId,
      agentVersion: 'bench',
      inventory: this.inventory,
      policy: this.policy,
      stopped: [],
    };
    const { incarnation, times } = await this.client.call(registerAgent, { body });
    this.incarnation = incarnation;
    this.times = times;
  }

  /** Works until stopped. */
  async run() {
    while (!this.stopped) {
      try {
        await this.sync();
      } catch (error) {
        // As a real agent does: what passes is tried again.
        if (!this.stopped) this.options.onRefused({ kind: 'sync' }, error);
      }
      await pause(this.times.pollIntervalMs);
    }
  }

  async sync() {
    const held = [...this.known.values()].filter((one) => one.state !== 'offered');
    const heard = [...this.known.values()].filter((one) => one.state === 'offered');
    const answer = await this.client.call(
      syncAgent,
      {
        body: {
          incarnation: this.incarnation,
          inventory: this.inventory,
          policy: this.policy,
          draining: false,
          attempts: held.map(({ jobId, attempt, state }) => ({ jobId, attempt, state })),
          heard: heard.map(({ jobId, attempt }) => ({ jobId, attempt, what: 'offer' })),
          wait: true,
        },
      },
      60_000,
    );
    this.times = answer.times;
    for (const offer of answer.offers) this.take(offer);
    for (const ref of answer.stop) this.known.delete(keyOf(ref));
  }

  stop() {
    this.stopped = true;
  }

  take(offer) {
    const key = keyOf(offer);
    if (this.known.has(key) || this.ended.has(key)) return;
    const one = { jobId: offer.jobId, attempt: offer.attempt, state: 'offered' };
    this.known.set(key, one);
    this.say({ kind: 'accept', ...refOf(one) }, () => {
      one.state = 'running';
      const finishSoon = () => setTimeout(() => this.finish(one, key, offer), this.options.runMs(offer));
      // Alone, the end of a short job would overtake its begin; together they keep their order.
      const begun = this.options.protocol === 'single' ? finishSoon : () => undefined;
      this.say({ kind: 'report', ...refOf(one), state: 'running' }, begun);
      if (this.options.protocol !== 'single') finishSoon();
    });
  }

  finish(one, key, offer) {
    this.say({ kind: 'report', ...refOf(one), state: 'succeeded' }, () => {
      this.known.delete(key);
      this.ended.add(key);
      if (this.ended.size > rememberedMost) this.ended.delete(this.ended.values().next().value);
      this.options.onDone(offer);
    });
  }

  say(item, heard) {
    this.queue.push({ item, heard });
    if (this.options.protocol === 'single') for (const one of this.queue.splice(0)) void this.sayAlone(one);
    else
      this.flushing ??= this.flush().catch((error) => {
        if (!this.stopped) this.options.onRefused({ kind: 'advance' }, error);
      });
  }

  async flush() {
    await pause(gatherMs);
    while (this.queue.length > 0) {
      const batch = this.queue.splice(0, itemsPerCallMax);
      const { results } = await this.client.call(advanceAttempts, {
        body: { incarnation: this.incarnation, items: batch.map(({ item }) => item) },
      });
      for (const [i, { heard, item }] of batch.entries()) {
        const result = results[i];
        if (result.ok) heard();
        else this.options.onRefused(item, result.problem);
      }
    }
    this.flushing = undefined;
  }

  async sayAlone({ item, heard }) {
    const { jobId, attempt } = item;
    const spec = item.kind === 'accept' ? acceptAttempt : reportAttempt;
    const body = { incarnation: this.incarnation, ...(item.kind === 'report' ? { state: item.state } : {}) };
    try {
      await this.client.call(spec, { params: { jobId, attempt }, body });
      heard();
    } catch (error) {
      if (!this.stopped) this.options.onRefused(item, error);
    }
  }

  close() {
    this.stop();
    this.client.close();
  }
}

const refOf = ({ jobId, attempt }) => ({ jobId, attempt });
