import { err, ok, type Result } from '@beamtime/kernel';
import { name, readTable, type TraceProblem, wholeNumber, words } from './read-table.js';

export interface OpenbNode {
  readonly name: string;
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  readonly gpuType: string;
}

export interface OpenbPod {
  readonly name: string;
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  /** Of each GPU, in thousandths. */
  readonly gpuShareMilli: number;
  readonly gpuTypes: readonly string[];
}

const cpuMilliMax = 10_000_000;
const memoryMiBMax = 1_000_000_000;
const gpusMax = 1024;

/** The nodes of Alibaba's openb trace, by name. */
export function readOpenbNodes(text: string): Result<OpenbNode[], TraceProblem> {
  const rows = readTable(text, {
    name: name('sn'),
    cpuMilli: wholeNumber('cpu_milli', 0, cpuMilliMax),
    memoryMiB: wholeNumber('memory_mib', 0, memoryMiBMax),
    gpus: wholeNumber('gpu', 0, gpusMax),
    gpuType: words('model'),
  });
  if (!rows.ok) return rows;
  const twice = firstTwice(rows.value);
  if (twice !== undefined) return err({ detail: twice });
  if (rows.value.every((node) => node.gpus === 0)) return err({ detail: 'no node has a GPU' });
  return ok(rows.value.sort(byName));
}

/** The pods of the trace, by name. Times are left out: the benchmark lets pods arrive in an order drawn by lot. */
export function readOpenbPods(text: string): Result<OpenbPod[], TraceProblem> {
  const rows = readTable(text, {
    name: name('name'),
    cpuMilli: wholeNumber('cpu_milli', 0, cpuMilliMax),
    memoryMiB: wholeNumber('memory_mib', 0, memoryMiBMax),
    gpus: wholeNumber('num_gpu', 0, gpusMax),
    gpuShareMilli: wholeNumber('gpu_milli', 0, 1000),
    gpuTypes: words('gpu_spec'),
  });
  if (!rows.ok) return rows;
  const twice = firstTwice(rows.value);
  if (twice !== undefined) return err({ detail: twice });
  for (const { line, gpus, gpuShareMilli } of rows.value) {
    if (gpus > 1 && gpuShareMilli !== 1000)
      return err({ detail: `line ${line}: only a pod of one GPU may share it, this one asks for ${gpus}` });
    if (gpus === 1 && gpuShareMilli === 0)
      return err({ detail: `line ${line}: gpu_milli must be from 1 to 1000 where num_gpu is 1` });
  }
  if (rows.value.every((pod) => pod.gpus === 0)) return err({ detail: 'no pod asks for a GPU' });
  const pods = rows.value.map((row) => ({
    name: row.name,
    cpuMilli: row.cpuMilli,
    memoryMiB: row.memoryMiB,
    gpus: row.gpus,
    gpuShareMilli: row.gpus === 0 ? 0 : row.gpuShareMilli,
    gpuTypes: row.gpuTypes.split('|').filter((type) => type !== ''),
  }));
  return ok(pods.sort(byName));
}

function firstTwice(rows: readonly { readonly line: number; readonly name: string }[]): string | undefined {
  const lines = new Map<string, number>();
  for (const { line, name } of rows) {
    const before = lines.get(name);
    if (before !== undefined) return `line ${line}: ${name} stands already in line ${before}`;
    lines.set(name, line);
  }
  return undefined;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
