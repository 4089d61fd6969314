import type { CommandJob } from '@beamtime/contracts';
import { folderBeforeWildcards, hasWildcards } from './posix-pattern.js';

/** One place that all commands of a job share, under the same path in each container. */
export interface Mount {
  readonly path: string;
  readonly isFolder: boolean;
}

/**
 * What is mounted: volumes, the folders in which outputs and captured streams are written, folders that come as inputs,
 * and single input files that lie in none of these. A folder inside another one needs no mount of its own.
 */
export function planMounts(job: CommandJob): Mount[] {
  const folders = new Set<string>(job.volumes);
  for (const input of job.staged) if (input.type === 'DIRECTORY') folders.add(input.path);
  for (const output of job.outputs) {
    if (hasWildcards(output.path)) folders.add(folderBeforeWildcards(output.path));
    else folders.add(output.type === 'DIRECTORY' ? output.path : parentOf(output.path));
  }
  for (const { stdout, stderr } of job.executors) {
    for (const path of [stdout, stderr]) if (path !== null) folders.add(parentOf(path));
  }
  folders.delete('/');
  const outer = [...folders].filter((path) => ![...folders].some((other) => isBelow(path, other))).sort();
  const files = [...job.contents, ...job.downloads, ...job.staged.filter((input) => input.type === 'FILE')]
    .map((input) => input.path)
    .filter((path) => !outer.some((folder) => isBelow(path, folder)));
  return [
    ...outer.map((path) => ({ path, isFolder: true })),
    ...[...new Set(files)].sort().map((path) => ({ path, isFolder: false })),
  ];
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

function isBelow(path: string, folder: string): boolean {
  return path !== folder && path.startsWith(`${folder}/`);
}

/** Where the file of a container path lies on this machine, if it is shared at all. */
export function hostPath(root: string, mounts: readonly Mount[], path: string): string | undefined {
  const covered = mounts.some(
    (mount) => mount.path === path || (mount.isFolder && path.startsWith(`${mount.path}/`)),
  );
  return covered ? `${root}${path}` : undefined;
}
