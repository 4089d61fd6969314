import type { JobId, ModelId } from '@beamtime/kernel';

/** The load of one replica, or, without a job, of the requests for a model that wait for one. */
export interface ModelLoad {
  readonly modelId: ModelId;
  readonly jobId: JobId | null;
  readonly inFlight: number;
  /** Over the time since the load was read before. */
  readonly meanInFlight: number;
}

interface Count {
  readonly modelId: ModelId;
  readonly jobId: JobId | null;
  inFlight: number;
  /** Requests times milliseconds, up to `untilMs`. */
  requestMs: number;
  untilMs: number;
}

/** Counts the requests in flight of this process: a sum in memory, which is all that a request costs. */
export class LoadMeter {
  private readonly counts = new Map<string, Count>();
  private readAtMs: number;

  /** @param nowMs a clock that only goes forward */
  constructor(private readonly nowMs: () => number = () => performance.now()) {
    this.readAtMs = nowMs();
  }

  /** A request begins, at a replica or, with null, waiting for one. Call what it answers once, when it is over. */
  begin(modelId: ModelId, jobId: JobId | null): () => void {
    const key = `${modelId} ${jobId ?? ''}`;
    this.add(this.counts.get(key) ?? this.open(key, modelId, jobId), 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      // It may have been read, and forgotten, only when nothing was in flight: this request was.
      const count = this.counts.get(key);
      if (count !== undefined) this.add(count, -1);
    };
  }

  /** What was in flight since it was read before; what is quiet is forgotten. */
  read(): ModelLoad[] {
    const nowMs = this.nowMs();
    const lastedMs = Math.max(1, nowMs - this.readAtMs);
    this.readAtMs = nowMs;
    const loads: ModelLoad[] = [];
    for (const [key, count] of this.counts) {
      this.add(count, 0);
      const { modelId, jobId, inFlight, requestMs } = count;
      loads.push({ modelId, jobId, inFlight, meanInFlight: requestMs / lastedMs });
      count.requestMs = 0;
      if (inFlight === 0) this.counts.delete(key);
    }
    return loads;
  }

  private open(key: string, modelId: ModelId, jobId: JobId | null): Count {
    const count = { modelId, jobId, inFlight: 0, requestMs: 0, untilMs: this.nowMs() };
    this.counts.set(key, count);
    return count;
  }

  private add(count: Count, change: number): void {
    const nowMs = this.nowMs();
    count.requestMs += count.inFlight * (nowMs - count.untilMs);
    count.untilMs = nowMs;
    count.inFlight += change;
  }
}
