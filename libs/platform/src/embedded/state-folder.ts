import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Problem, present, problem, type Result } from '@beamtime/kernel';
import { identifyProcess, isProcessIdentity, isRunning, type ProcessIdentity } from './process-identity.js';

/** The server that was last started on a state folder: enough to find a leftover, and to take its port again. */
export interface ServerRecord {
  readonly server: ProcessIdentity;
  readonly port: number;
}

/** A state folder that this process alone may start a server on, until `release`. */
export interface ClaimedFolder {
  readonly path: string;
  /** What the last start left; its server may still run when the process that started it was killed. */
  readonly last: ServerRecord | undefined;
  record(server: ServerRecord): void;
  forgetServer(): void;
  /** The secret kept under this name, made at the first call; only the owner of the folder can read it. */
  secret(name: string): string;
  release(): void;
}

const claimName = 'owner.json';
const recordName = 'server.json';

/** Claims the folder for this process, taking it over from a process that is gone. */
export function claimStateFolder(path: string): Result<ClaimedFolder, Problem<'embedded.in-use'>> {
  mkdirSync(path, { recursive: true });
  const claimPath = join(path, claimName);
  const self = present(identifyProcess(process.pid), 'the running process');
  // Written whole under another name and linked into place: the claim never exists half written.
  const draftPath = `${claimPath}.${self.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draftPath, JSON.stringify(self), { mode: 0o600 });
  try {
    if (!linkIfAbsent(draftPath, claimPath)) {
      const owner = readIdentity(claimPath);
      if (owner !== undefined && isRunning(owner)) return err(inUse(path, owner));
      removeStaleClaim(claimPath, owner);
      if (!linkIfAbsent(draftPath, claimPath)) return err(inUse(path, readIdentity(claimPath)));
    }
  } finally {
    rmSync(draftPath, { force: true });
  }
  return ok(claimedFolder(path));
}

function claimedFolder(path: string): ClaimedFolder {
  const recordPath = join(path, recordName);
  return {
    path,
    last: readRecord(recordPath),
    record: (server) => writeWhole(recordPath, JSON.stringify(server)),
    forgetServer: () => {
      // The port stays, so that the next start offers the same address.
      const last = readRecord(recordPath);
      if (last) writeWhole(recordPath, JSON.stringify({ port: last.port }));
    },
    secret: (name) => {
      const secretPath = join(path, name);
      const kept = readText(secretPath)?.trim();
      if (kept) return kept;
      const made = randomBytes(24).toString('base64url');
      writeWhole(secretPath, `${made}\n`);
      return made;
    },
    release: () => rmSync(join(path, claimName), { force: true }),
  };
}

/** The port of the last start, for a server that is no longer recorded as running. */
export function portOfLastStart(path: string): number | undefined {
  const port = readJson(join(path, recordName))?.['port'];
  return typeof port === 'number' && Number.isInteger(port) ? port : undefined;
}

function inUse(path: string, owner: ProcessIdentity | undefined): Problem<'embedded.in-use'> {
  const by = owner ? `process ${owner.pid}` : 'another process';
  return problem(
    'embedded.in-use',
    `${path} is in use by ${by}: stop it first, or give this one another folder.`,
    {
      path,
      ...(owner && { pid: owner.pid }),
    },
  );
}

/** Moves the claim aside before deleting it, so that of two processes that saw it stale only one takes it over. */
function removeStaleClaim(claimPath: string, stale: ProcessIdentity | undefined): void {
  const asidePath = `${claimPath}.stale.${process.pid}`;
  try {
    renameSync(claimPath, asidePath);
  } catch {
    return;
  }
  const moved = readIdentity(asidePath);
  if (moved && moved.pid !== stale?.pid && isRunning(moved)) linkIfAbsent(asidePath, claimPath);
  rmSync(asidePath, { force: true });
}

function linkIfAbsent(fromPath: string, toPath: string): boolean {
  try {
    linkSync(fromPath, toPath);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function readJson(path: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(readText(path) ?? 'null');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function readIdentity(path: string): ProcessIdentity | undefined {
  const value = readJson(path);
  return isProcessIdentity(value) ? value : undefined;
}

function readRecord(path: string): ServerRecord | undefined {
  const value = readJson(path);
  const port = value?.['port'];
  const server = value?.['server'];
  return typeof port === 'number' && isProcessIdentity(server) ? { server, port } : undefined;
}
