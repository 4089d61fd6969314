import { cpus, hostname, totalmem } from 'node:os';
import type { ClusterInventory } from '@beamtime/contracts';
import { type Executor, type SiteCapacity, SiteUnknown } from '@beamtime/executors';
import type { AgentConfig } from './agent-config.js';
import type { Log } from './log.js';
import { pause } from './pause.js';

const refreshEveryMs = 30_000;
const retryMs = 2_000;

/**
 * What this cluster offers. Where a batch system knows, its word counts, nodes that are drained or down left out; the
 * agent's file can only lower it. A file that claims more is corrected, and the operator told.
 */
export class Offering {
  private capacity: SiteCapacity | undefined;
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private said = '';
  private asking: Promise<void> | undefined;

  constructor(
    private readonly config: AgentConfig,
    private readonly executor: Executor,
    private readonly log: Log,
  ) {}

  /** Asks the batch system; throws while it has never answered, so that an agent does not start on a guess. */
  async refresh(): Promise<void> {
    if (this.executor.capacity === undefined) return;
    this.askedAtMs = performance.now();
    try {
      this.capacity = await this.executor.capacity();
      this.tell();
    } catch (error) {
      if (this.capacity === undefined) throw error;
      this.sayOnce('warn', 'Slurm cannot be asked what it has; the last answer stands', {
        error: (error as Error).message,
      });
    }
  }

  /** Waits for a batch system that does not answer yet; one that does not fit the file is an error. */
  async begin(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.refresh();
      } catch (error) {
        if (!(error instanceof SiteUnknown) || !error.passes) throw error;
        this.sayOnce('warn', 'Slurm cannot be asked what it has; waiting for it', { error: error.message });
        await pause(retryMs, signal);
        if (signal.aborted) return;
      }
    }
  }

  refreshWhenOld(): void {
    if (performance.now() - this.askedAtMs < refreshEveryMs) return;
    this.asking ??= this.refresh().finally(() => {
      this.asking = undefined;
    });
    this.asking.catch(() => undefined);
  }

  /** The batch system takes no new work at all. */
  get draining(): boolean {
    return this.capacity?.draining != null;
  }

  inventory(): ClusterInventory {
    const { gpus } = this.config;
    const own = {
      executor: this.executor.kind,
      hostName: hostname().slice(0, 255),
      gpuMemoryMiB: gpus.memoryMiB,
    };
    const { capacity } = this;
    if (capacity === undefined) {
      return {
        ...own,
        gpus: gpus.count ?? 0,
        gpuType: gpus.type ?? 'cpu',
        cpus: Math.max(1, cpus().length),
        memoryMiB: Math.max(1, Math.floor(totalmem() / 1_048_576)),
      };
    }
    return {
      ...own,
      gpus: Math.min(capacity.gpus, gpus.count ?? capacity.gpus),
      gpuType: gpus.type ?? capacity.gpuType ?? 'gpu',
      cpus: Math.max(1, capacity.cpus),
      memoryMiB: Math.max(1, capacity.memoryMiB),
    };
  }

  private tell(): void {
    const { capacity } = this;
    const { count } = this.config.gpus;
    if (capacity === undefined) return;
    if (capacity.draining !== null) {
      this.sayOnce('warn', 'draining, since Slurm takes no work', { why: capacity.draining });
    } else if (count !== null && count > capacity.gpus) {
      this.sayOnce('warn', "the file claims more than Slurm has for work now; Slurm's word counts", {
        file: count,
        slurm: capacity.gpus,
      });
    } else {
      this.sayOnce('info', 'Slurm has', {
        gpus: capacity.gpus,
        nodes: capacity.nodes,
        type: capacity.gpuType,
      });
    }
  }

  /** The same words every half minute would hide everything else. */
  private sayOnce(...[level, message, fields]: Parameters<Log>): void {
    const words = JSON.stringify([message, fields]);
    if (words === this.said) return;
    this.said = words;
    this.log(level, message, fields);
  }
}
