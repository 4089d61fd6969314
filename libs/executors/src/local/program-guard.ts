import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { ProcessIdentity } from './process-identity.js';

/**
 * The guard's program. Lines of JSON on its input: `{id, pid, startedAt}` watches a process group, `{id, forMs}` lets
 * it go on for so long, `{id, gone: true}` forgets it. The end of the input means that the agent is gone.
 */
const program = `
const { readFileSync } = require('node:fs');
const watched = new Map();
const startOf = (pid) => {
  try {
    const stat = readFileSync('/proc/' + pid + '/stat', 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch { return undefined; }
};
const end = ({ pid, startedAt }) => {
  const present = process.platform === 'linux' ? startOf(pid) : undefined;
  // Somebody else has the pid by now.
  if (present !== undefined && present !== startedAt) return;
  try { process.kill(-pid, 'SIGKILL'); } catch {}
};
let rest = '';
process.stdin.setEncoding('utf8').on('data', (data) => {
  const lines = (rest + data).split('\\n');
  rest = lines.pop();
  for (const line of lines) {
    const { id, pid, startedAt, forMs, gone } = JSON.parse(line);
    if (pid !== undefined) watched.set(id, { pid, startedAt });
    const one = watched.get(id);
    if (one === undefined) continue;
    clearTimeout(one.timer);
    if (gone) watched.delete(id);
    else if (forMs !== undefined) one.timer = setTimeout(() => end(one), forMs);
  }
});
process.stdin.on('error', () => undefined);
process.stdin.on('end', () => {
  for (const one of watched.values()) end(one);
  process.exit();
});
`;

interface Watched extends ProcessIdentity {
  /** By performance.now(). */
  readonly endsAtMs?: number;
}

/**
 * A process beside the agent that ends its programs when the agent cannot: because it is gone, even by SIGKILL (the
 * guard's input ends), or because it is frozen, and so did not say in time that a program may go on. Without it the
 * programs of a frozen agent would outlive their leases and run beside their successors at other clusters.
 */
export class ProgramGuard {
  private readonly watched = new Map<string, Watched>();
  private guard: ChildProcess | undefined;

  watch(id: string, { pid, startedAt }: ProcessIdentity): void {
    this.watched.set(id, { pid, startedAt });
    if (this.guard === undefined) this.start();
    else this.say({ id, pid, startedAt });
  }

  /** Lets a program go on for so long from now, and no longer. */
  keepFor(id: string, forMs: number): void {
    const one = this.watched.get(id);
    if (one === undefined) return;
    this.watched.set(id, { ...one, endsAtMs: performance.now() + forMs });
    this.say({ id, forMs });
  }

  dismiss(id: string): void {
    if (this.watched.delete(id)) this.say({ id, gone: true });
  }

  private say(line: object): void {
    this.guard?.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  private start(): void {
    const guard = spawn(process.execPath, ['-e', program], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
    });
    this.guard = guard;
    guard.stdin.on('error', () => undefined);
    guard.on('error', () => undefined);
    // Killed by somebody: the next one takes over what it watched.
    guard.on('exit', () => {
      if (this.guard !== guard) return;
      this.guard = undefined;
      if (this.watched.size > 0) this.start();
    });
    guard.unref();
    if (guard.stdin instanceof Socket) guard.stdin.unref();
    for (const [id, { pid, startedAt, endsAtMs }] of this.watched) {
      this.say({ id, pid, startedAt });
      if (endsAtMs !== undefined) this.say({ id, forMs: Math.max(0, endsAtMs - performance.now()) });
    }
  }
}
