import type { JobFiles } from '@beamtime/scheduling';
import type { FaultPlan } from './fault-plan.js';
import type { Host, VirtualTime } from './virtual-time.js';

/** Fault probabilities per knock. */
export interface KnockFaults {
  readonly lost: number;
  /** Redis goes away at this knock, for up to `awayMs`. */
  readonly away: number;
}
export const awayMs = [1_000, 40_000] as const;

/** Carries knocks to one listener, a moment later, or not at all. */
export class SimulatedRedis {
  awayUntilMs = 0;
  private readonly doors = new Map<Host, (name: string) => void>();
  private readonly listeners = new Map<string, Set<Host>>();
  private published = 0;

  constructor(
    private readonly time: VirtualTime,
    private readonly faults: FaultPlan,
    private readonly rates: KnockFaults,
  ) {}

  connect(host: Host, door: (name: string) => void): void {
    this.doors.set(host, door);
  }
  subscribe(host: Host, name: string): void {
    this.listeners.set(name, (this.listeners.get(name) ?? new Set()).add(host));
  }

  publish(name: string): void {
    const { faults, rates } = this;
    const fault = `redis/${name}/${++this.published}`;
    if (faults.strikes(`${fault}/away`, rates.away))
      this.awayUntilMs = this.time.nowMs + faults.amount(`${fault}/away`, ...awayMs);
    if (this.time.nowMs < this.awayUntilMs || faults.strikes(`${fault}/knock-lost`, rates.lost)) return;
    for (const host of this.listeners.get(name) ?? []) {
      if (!host.alive) continue;
      this.time.after(10, host, () => this.doors.get(host)?.(name));
      return;
    }
  }
}

/** Files by their keys; what was uploaded, with its size. */
export class SimulatedStore implements JobFiles {
  private readonly files = new Map<string, number>();

  put(objectKey: string, sizeBytes: number): void {
    this.files.set(objectKey, sizeBytes);
  }
  find(objectKey: string) {
    const sizeBytes = this.files.get(objectKey);
    return Promise.resolve(sizeBytes === undefined ? null : { sizeBytes, sha256: null });
  }
  downloadUrl(objectKey: string): Promise<string> {
    return Promise.resolve(`http://store.invalid/${objectKey}`);
  }
  uploadUrl(objectKey: string) {
    return Promise.resolve({ url: `http://store.invalid/${objectKey}`, headers: {} });
  }
}
