import {
  type ClientBodyOf,
  commitArtifact,
  commitCheckpoint,
  commitEvaluation,
  commitResumable,
  type LogChunk,
  type RunnerEvent,
  type reportAttempt,
  reportEvents,
  reportLogs,
} from '@beamtime/contracts';
import { type Facility } from './facility.js';
import { pause } from './pause.js';
import type { AttemptAddress } from './upload-files.js';

/** Events and log text leave at most this often: a running job costs few requests. */
const flushEveryMs = 300;
const eventsPerReport = 200;
const chunksPerReport = 20;
const chunkCharsMax = 16_384;
/** What waits while the facility is away; beyond it, the oldest text goes. */
const waitingEventsMax = 20_000;
const waitingChunksMax = 2_000;

type Body<E> = Omit<ClientBodyOf<E> & object, 'incarnation'>;

/** Says what becomes of one attempt, in order and until it is heard, or until the facility refuses to listen. */
export class AttemptReporter {
  private events: RunnerEvent[] = [];
  private chunks: LogChunk[] = [];
  private seq = 0;
  private offset = 0;
  private logFull = false;
  private flushing: Promise<void> | undefined;
  private readonly params: { jobId: string; attempt: number };

  constructor(
    private readonly facility: Facility,
    private readonly address: AttemptAddress,
    private readonly signal: AbortSignal,
    private readonly onRefused: (error: unknown) => void,
  ) {
    this.params = { jobId: address.jobId, attempt: address.attempt };
  }

  event(event: RunnerEvent): void {
    this.events.push(event);
    if (this.events.length > waitingEventsMax) {
      // Progress is told again by the next one; everything else is not.
      const droppable = this.events.findIndex((waiting) => waiting.kind === 'progress');
      if (droppable >= 0) this.events.splice(droppable, 1);
    }
    this.flushSoon();
  }

  log(stream: LogChunk['stream'], text: string): void {
    if (this.logFull) return;
    for (let at = 0; at < text.length; at += chunkCharsMax) {
      const piece = text.slice(at, at + chunkCharsMax);
      const last = this.chunks.at(-1);
      const joins = this.flushing === undefined && last?.stream === stream;
      if (joins && last.text.length + piece.length <= chunkCharsMax) {
        this.chunks[this.chunks.length - 1] = { ...last, text: last.text + piece };
      } else {
        this.chunks.push({ seq: this.seq++, offset: this.offset, stream, text: piece });
      }
      this.offset += Buffer.byteLength(piece);
    }
    if (this.chunks.length > waitingChunksMax) this.chunks.shift();
    this.flushSoon();
  }

  state(body: Body<typeof reportAttempt>): Promise<unknown> {
    return this.facility.advance(
      this.address.incarnation,
      { kind: 'report', ...this.params, ...body },
      this.signal,
    );
  }
  checkpoint(body: Body<typeof commitCheckpoint>): Promise<unknown> {
    return this.send(commitCheckpoint, body);
  }
  resumable(body: Body<typeof commitResumable>): Promise<unknown> {
    return this.send(commitResumable, body);
  }
  evaluation(body: Body<typeof commitEvaluation>): Promise<unknown> {
    return this.send(commitEvaluation, body);
  }
  artifact(body: Body<typeof commitArtifact>): Promise<unknown> {
    return this.send(commitArtifact, body);
  }

  private send(
    spec: typeof commitCheckpoint | typeof commitResumable | typeof commitEvaluation | typeof commitArtifact,
    body: object,
  ): Promise<unknown> {
    const { incarnation } = this.address;
    // The bodies are typed by the methods above; a union of endpoints has no common body.
    const input = { params: this.params, body: { ...body, incarnation } } as never;
    return this.facility.call(spec, input, this.signal);
  }

  /** Everything said so far has been heard. */
  async flush(): Promise<void> {
    while (this.events.length > 0 || this.chunks.length > 0 || this.flushing !== undefined) {
      this.flushing ??= this.flushAll();
      await this.flushing;
    }
  }

  private flushSoon(): void {
    if (this.signal.aborted) return;
    this.flushing ??= pause(flushEveryMs, this.signal).then(() => this.flushAll());
  }

  private async flushAll(): Promise<void> {
    try {
      while ((this.events.length > 0 || this.chunks.length > 0) && !this.signal.aborted) {
        await this.flushOnce();
      }
    } catch (error) {
      this.events = [];
      this.chunks = [];
      this.onRefused(error);
    } finally {
      if (this.signal.aborted) {
        this.events = [];
        this.chunks = [];
      }
      this.flushing = undefined;
    }
  }

  private async flushOnce(): Promise<void> {
    const { incarnation } = this.address;
    const events = this.events.slice(0, eventsPerReport);
    if (events.length > 0) {
      await this.facility.call(
        reportEvents,
        { params: this.params, body: { incarnation, events } },
        this.signal,
      );
      const sent = new Set(events.map((event) => event.seq));
      this.events = this.events.filter((event) => !sent.has(event.seq));
    }
    const chunks = this.chunks.slice(0, chunksPerReport);
    if (chunks.length > 0) {
      const kept = await this.facility.call(
        reportLogs,
        { params: this.params, body: { incarnation, chunks } },
        this.signal,
      );
      const last = chunks.at(-1)?.seq ?? 0;
      this.chunks = this.chunks.filter((chunk) => chunk.seq > last);
      this.logFull = kept.keptBytes + chunkCharsMax >= kept.limitBytes;
      if (this.logFull) this.chunks = [];
    }
  }
}
