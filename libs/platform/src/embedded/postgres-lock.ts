import { existsSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, type ProcessIdentity } from './process-identity.js';

export function lockPathOf(dataPath: string): string {
  return join(dataPath, 'postmaster.pid');
}

/** The server that runs on this data folder now, whoever started it; known on Linux only. */
export function postmasterOf(dataPath: string): ProcessIdentity | undefined {
  const lockPath = lockPathOf(dataPath);
  if (process.platform !== 'linux' || !existsSync(lockPath)) return undefined;
  const pid = Number.parseInt(readFileSync(lockPath, 'utf8'), 10);
  const holder = Number.isInteger(pid) ? identifyProcess(pid) : undefined;
  // A postmaster works in its data folder; any other process has only got the pid of one that is gone.
  return holder && workingFolderOf(pid) === realpathSync(dataPath) ? holder : undefined;
}

function workingFolderOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}
