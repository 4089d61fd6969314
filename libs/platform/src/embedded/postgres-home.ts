import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { err, ok, type Result } from '@beamtime/kernel';
import type { PostgresBinaries } from './postgres-binaries.js';
import { postmasterOf } from './postgres-lock.js';

/** Where a cluster lives and runs from, and as whom. */
export interface PostgresHome {
  readonly binFolder: string;
  /** The folder that holds the cluster; the unprivileged user may write in it. */
  readonly folder: string;
  readonly user: UnprivilegedUser | undefined;
}

interface UnprivilegedUser {
  readonly uid: number;
  readonly gid: number;
}

/** For root: a place that every user can reach, whatever folder the checkout lies in. */
const reachableRoot = '/var/lib/beamtime';
/** In a state folder whose cluster is kept there: says where. */
const farNote = 'cluster-is-in.txt';

/**
 * PostgreSQL refuses to run as root, so root runs it as another user who exists anyway: nothing is added to the
 * system. That user may be unable to reach the checkout (one under /root, say); then the binaries are copied to a
 * reachable folder, and the cluster is kept in one there that belongs to this state folder: `owner` (a secret of
 * the state folder) tells a cluster of ours from what an earlier, since deleted state folder left behind.
 */
export function choosePostgresHome(
  stateFolder: string,
  binaries: PostgresBinaries,
  owner: string,
  say: (line: string) => void,
): Result<PostgresHome, string> {
  const nearFolder = join(stateFolder, 'cluster');
  if (process.getuid?.() !== 0) {
    mkdirSync(nearFolder, { recursive: true, mode: 0o700 });
    return ok({ binFolder: join(binaries.folder, 'bin'), folder: nearFolder, user: undefined });
  }
  const user = ownerOf(join(nearFolder, 'data')) ?? findUnprivilegedUser();
  if (!user) return err('it cannot run as root, and the machine has neither a user "postgres" nor "nobody"');
  const reachable = canReach(user, stateFolder);
  if (!reachable && existsSync(join(nearFolder, 'data')))
    return err(
      `the user ${user.uid} who owns ${nearFolder} cannot reach it: allow "x" on the folders above it`,
    );
  // Once far, always far, should the folders above be opened later: the data is there.
  const near = reachable && !existsSync(join(stateFolder, farNote));
  const folder = near ? ok(own(nearFolder, user)) : ownFarFolder(stateFolder, user, owner, say);
  if (!folder.ok) return folder;
  const binFolder = canRun(user, join(binaries.folder, 'bin', 'postgres'))
    ? join(binaries.folder, 'bin')
    : copyBinaries(binaries, say);
  return ok({ binFolder, folder: folder.value, user });
}

/** The user of an existing cluster, so that it is never opened as somebody else. */
function ownerOf(path: string): UnprivilegedUser | undefined {
  if (!existsSync(path)) return undefined;
  const { uid, gid } = statSync(path);
  return uid === 0 ? undefined : { uid, gid };
}

/** PostgreSQL's own user where the machine has one, otherwise the one that every Unix has. */
function findUnprivilegedUser(): UnprivilegedUser | undefined {
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => numberFrom('id', [flag, name]));
    if (uid !== undefined && gid !== undefined && uid !== 0) return { uid, gid };
  }
  throw new Error(
    'PostgreSQL cannot run as root, and this machine has neither a user "postgres" nor "nobody"',
  );
}

function numberFrom(command: string, args: readonly string[]): number | undefined {
  try {
    const text = execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return Number.parseInt(text, 10);
  } catch {
    return undefined;
  }
}

function canRun(user: UnprivilegedUser, program: string): boolean {
  return spawnSync(program, ['--version'], { ...user, cwd: '/', stdio: 'ignore' }).status === 0;
}

function canReach(user: UnprivilegedUser, folder: string): boolean {
  const probe = spawnSync('/bin/sh', ['-c', 'cd "$1"', 'can-reach', folder], {
    ...user,
    cwd: '/',
    stdio: 'ignore',
  });
  return probe.status === 0;
}

function own(folder: string, user: UnprivilegedUser): string {
  mkdirSync(folder, { recursive: true });
  chownSync(folder, user.uid, user.gid);
  chmodSync(folder, 0o700);
  return folder;
}

function ownFarFolder(
  stateFolder: string,
  user: UnprivilegedUser,
  owner: string,
  say: (line: string) => void,
): Result<string, string> {
  mkdirSync(reachableRoot, { recursive: true, mode: 0o755 });
  const key = createHash('sha256').update(stateFolder).digest('hex').slice(0, 16);
  const folder = join(reachableRoot, `postgres-${key}`);
  const ownerPath = join(folder, 'owner');
  const ownerDigest = createHash('sha256').update(owner).digest('hex');
  if (existsSync(folder) && (!existsSync(ownerPath) || readFileSync(ownerPath, 'utf8') !== ownerDigest)) {
    const holder = postmasterOf(join(folder, 'data'));
    if (holder)
      return err(`process ${holder.pid} still serves the deleted state folder from ${folder}: stop it first`);
    rmSync(folder, { recursive: true });
  }
  own(folder, user);
  writeFileSync(ownerPath, ownerDigest, { mode: 0o600 });
  const notePath = join(stateFolder, farNote);
  if (!existsSync(notePath))
    say(
      `PostgreSQL cannot run as root and its user cannot reach ${stateFolder}: its data is kept in ${folder}`,
    );
  writeFileSync(notePath, `${folder}\n`);
  return ok(folder);
}

/** Copied under another name and renamed when whole, so that an interrupted copy is never run. */
function copyBinaries(binaries: PostgresBinaries, say: (line: string) => void): string {
  const folder = join(reachableRoot, `postgresql-${binaries.version}-${process.platform}-${process.arch}`);
  if (!existsSync(folder)) {
    say(`copying PostgreSQL's programs to ${folder}, where a user other than root can run them`);
    mkdirSync(reachableRoot, { recursive: true, mode: 0o755 });
    const draft = join(reachableRoot, `.${basename(folder)}.${process.pid}`);
    rmSync(draft, { recursive: true, force: true });
    cpSync(binaries.folder, draft, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(draft, folder);
    } catch (error) {
      rmSync(draft, { recursive: true, force: true });
      // Another process finished the same copy first: theirs is as good.
      if (!existsSync(folder)) throw error;
    }
  }
  return join(folder, 'bin');
}
