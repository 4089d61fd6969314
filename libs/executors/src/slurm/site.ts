import type { CommandAnswer, SlurmCommands } from './commands.js';
import { inventoryFormat, readInventory, type SiteNodes } from './inventory.js';
import type { SiteShape } from './job-shape.js';
import type { ResolvedOptions } from './slurm-options.js';

/** What Slurm says of the partition that jobs of this agent go to. */
export interface Site extends SiteShape {
  readonly nodesNow: SiteNodes;
  /** Null: no limit. */
  readonly maxSeconds: number | null;
}

/** Slurm's answer does not fit the agent's configuration, or there is none; the message is for the operator. */
export class SiteUnknown extends Error {
  override readonly name = 'SiteUnknown';
  constructor(
    detail: string,
    /** It may be known later, without anybody's doing. */
    readonly passes: boolean,
  ) {
    super(detail);
  }
}

export async function readSite(commands: SlurmCommands, options: ResolvedOptions): Promise<Site> {
  const nodes = await commands.run('sinfo', ['--noheader', '--Node', `--format=${inventoryFormat}`]);
  if (nodes.kind !== 'done') throw silent(nodes);
  const found = readInventory(nodes.stdout, {
    partition: options.partition ?? null,
    gpuType: options.gpuType ?? null,
    cpusPerSlot: options.cpusPerGpu,
  });
  if (typeof found === 'string') throw new SiteUnknown(found, false);
  const partition = await commands.run('scontrol', ['show', 'partition', '--oneliner', found.partition]);
  if (partition.kind !== 'done') throw silent(partition);
  return {
    nodesNow: found,
    hasGpus: found.hasGpus,
    gpuType: options.gpuType ?? null,
    gpusPerNode: found.gpusPerNode === 0 ? null : found.gpusPerNode,
    nodes: Math.max(1, found.nodes),
    cpusPerGpu: options.cpusPerGpu,
    memoryMiBPerGpu: options.memoryMiBPerGpu ?? null,
    maxSeconds: secondsOf(/ MaxTime=(\S+)/.exec(partition.stdout)?.[1] ?? 'UNLIMITED'),
  };
}

function silent(answer: Exclude<CommandAnswer, { kind: 'done' }>): SiteUnknown {
  return new SiteUnknown(`Slurm does not answer: ${answer.detail}`, answer.kind !== 'refused');
}

/** Slurm's `days-hours:minutes:seconds`, `hours:minutes:seconds`, `minutes:seconds` or `minutes`; null without limit. */
export function secondsOf(time: string): number | null {
  const match = /^(?:(\d+)-)?([\d:]+)$/.exec(time);
  if (match === null) return null;
  const days = Number(match[1] ?? 0);
  const parts = (match[2] ?? '').split(':').map(Number);
  // With days, and with three parts, the first is hours; otherwise minutes.
  const hoursFirst = match[1] !== undefined || parts.length === 3;
  const [hours = 0, minutes = 0, seconds = 0] = hoursFirst ? parts : [0, ...parts];
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
}
