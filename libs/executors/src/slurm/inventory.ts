import type { SiteCapacity } from '../executor.js';

/** Reads what sinfo says of nodes, one line for each node and partition. */
export const inventoryFormat = '%N|%P|%a|%c|%m|%G|%T';

interface NodeLine {
  readonly name: string;
  readonly partition: string;
  readonly isDefault: boolean;
  readonly isUp: boolean;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly gpus: ReadonlyMap<string, number>;
  readonly state: string;
}

export interface SiteNodes extends SiteCapacity {
  /** GPUs (or slots) of the largest node that takes work. */
  readonly gpusPerNode: number;
  readonly partition: string;
  /** Whether the partition has GPUs at all, drained nodes included. */
  readonly hasGpus: boolean;
}

export interface InventoryWish {
  /** Null: the cluster's default partition. */
  readonly partition: string | null;
  readonly gpuType: string | null;
  /** CPUs of a slot, where there are no GPUs. */
  readonly cpusPerSlot: number;
}

/** States in which a node takes work, now or when it wakes; `*` and the like are marks behind the word. */
const usable =
  /^(idle|mixed|allocated|completing|planned|power_saving|powered_down|powering_up|powering_down|powering|reserved)/;
/** sinfo's marks of a node that does not answer, or is about to be rebooted or put into maintenance. */
const unusableMarks = /[*@$]/;

/** What a partition has for us. A string says why that cannot be told. */
export function readInventory(text: string, wish: InventoryWish): SiteNodes | string {
  const lines = text.split('\n').flatMap(readLine);
  const ours = lines.filter((line) =>
    wish.partition === null ? line.isDefault : line.partition === wish.partition,
  );
  const [first] = ours;
  if (first === undefined) {
    const names = [...new Set(lines.map((line) => line.partition))].sort().join(', ');
    return wish.partition === null
      ? `no partition is the default here; name one of ${names}`
      : `there is no partition ${wish.partition} with nodes; there are ${names || 'none'}`;
  }
  const types = new Map<string, number>();
  for (const line of ours)
    for (const [type, count] of line.gpus) types.set(type, (types.get(type) ?? 0) + count);
  const hasGpus = types.size > 0;
  const named = [...types].filter(([type]) => type !== '').sort((a, b) => b[1] - a[1]);
  if (wish.gpuType !== null && hasGpus && !types.has(wish.gpuType))
    return `partition ${first.partition} has no GPUs of type ${wish.gpuType}; it has ${named.map(([type]) => type).join(', ') || 'untyped ones'}`;
  const countOf = (line: NodeLine): number => {
    if (!hasGpus) return Math.floor(line.cpus / wish.cpusPerSlot);
    if (wish.gpuType !== null) return line.gpus.get(wish.gpuType) ?? 0;
    return [...line.gpus.values()].reduce((total, count) => total + count, 0);
  };
  const fit = ours.filter((line) => usable.test(line.state) && !unusableMarks.test(line.state) && line.isUp);
  const sum = (of: (line: NodeLine) => number): number => fit.reduce((total, line) => total + of(line), 0);
  return {
    gpus: sum(countOf),
    gpusPerNode: Math.max(0, ...fit.map(countOf)),
    gpuType: hasGpus ? (wish.gpuType ?? (named.length === 1 ? (named[0]?.[0] ?? null) : null)) : 'cpu',
    hasGpus,
    cpus: sum((line) => line.cpus),
    memoryMiB: sum((line) => line.memoryMiB),
    nodes: fit.filter((line) => countOf(line) > 0).length,
    partition: first.partition,
    draining: fit.length > 0 ? null : whyNone(first.partition, ours),
  };
}

function whyNone(partition: string, lines: readonly NodeLine[]): string {
  if (lines.every((line) => !line.isUp)) return `Slurm's partition ${partition} is not up`;
  const states = [...new Set(lines.map((line) => line.state))].join(', ');
  return `no node of Slurm's partition ${partition} takes work (${states})`;
}

function readLine(line: string): NodeLine[] {
  const [name = '', partition = '', up = '', cpus = '', memory = '', gres = '', state = ''] = line
    .trim()
    .split('|');
  if (name === '' || partition === '' || state === '') return [];
  return [
    {
      name,
      partition: partition.replace(/\*$/, ''),
      isDefault: partition.endsWith('*'),
      isUp: up === 'up',
      cpus: Number.parseInt(cpus, 10) || 0,
      memoryMiB: Number.parseInt(memory, 10) || 0,
      gpus: readGres(gres),
      state: state.toLowerCase(),
    },
  ];
}

/** `gpu:a100:8(S:0-1),gpu:4,nvme:1` → GPUs by type, '' for untyped ones. Commas within parentheses belong to sockets. */
export function readGres(gres: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const part of gres.replace(/\([^)]*\)/g, '').split(',')) {
    const match = /^gpu(?::([^:]+))?:(\d+)$/.exec(part.trim());
    if (match === null) continue;
    const type = match[1] ?? '';
    found.set(type, (found.get(type) ?? 0) + Number(match[2]));
  }
  return found;
}
