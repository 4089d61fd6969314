import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/** How a Slurm command ended. */
export type CommandAnswer =
  | { readonly kind: 'done'; readonly stdout: string }
  /** Slurm understood and said no. */
  | { readonly kind: 'refused'; readonly detail: string }
  /** Slurm could not be asked: nothing has happened. */
  | { readonly kind: 'unreachable'; readonly detail: string }
  /** It was asked, and no answer came: it may have happened, or happen yet. */
  | { readonly kind: 'unclear'; readonly detail: string };

export interface CommandOptions {
  /** slurm.conf of the cluster; undefined: Slurm finds its own. */
  readonly conf: string | undefined;
  /** Folder of the commands; undefined: PATH. */
  readonly bin: string | undefined;
  readonly timeoutMs: number;
}

/** Commands at a time: slurmctld serves a whole site, and one agent must not crowd out its users. */
const atATime = 4;
const outputBytesMax = 64 * 1024 * 1024;
const killAfterMs = 1_000;

/** What commands say when the request never reached slurmctld, in the words of Slurm 20 to 25. */
const unreachableWords =
  /Unable to contact slurm controller|Connection refused|Unable to establish|Could not establish a configuration|Name or service not known|Unable to resolve|Munge (en|de)code failed|Protocol authentication error|in standby|Host is down|No route to host|authentication plugin/i;
/** … and when it went out, and no answer came back. */
const unclearWords =
  /Socket timed out|Connection timed out|Connection reset|Zero Bytes were transmitted|Unexpected message received|Communication connection failure|Message receive failure|Transport endpoint|Broken pipe|Unspecified error/i;

/** Runs Slurm's commands, with few variables of ours and a limit on how long each may take. */
export class SlurmCommands {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly options: CommandOptions) {}

  async run(command: string, args: readonly string[]): Promise<CommandAnswer> {
    while (this.running >= atATime) await new Promise<void>((free) => this.waiting.push(free));
    this.running += 1;
    try {
      return await this.runNow(command, args);
    } finally {
      this.running -= 1;
      this.waiting.shift()?.();
    }
  }

  private runNow(command: string, args: readonly string[]): Promise<CommandAnswer> {
    const { bin, timeoutMs } = this.options;
    const path = bin === undefined ? command : join(bin, command);
    return new Promise((resolve) => {
      let late = false;
      const child = execFile(
        path,
        [...args],
        { env: this.environment(), maxBuffer: outputBytesMax, encoding: 'utf8' },
        (error, stdout, stderr) => {
          clearTimeout(timer);
          if (late) return;
          resolve(error === null ? { kind: 'done', stdout } : judge(command, error, stderr));
        },
      );
      const timer = setTimeout(() => {
        late = true;
        child.kill('SIGTERM');
        setTimeout(() => child.kill('SIGKILL'), killAfterMs).unref();
        resolve({ kind: 'unclear', detail: `${command} did not answer within ${timeoutMs / 1000} s` });
      }, timeoutMs);
    });
  }

  /**
   * Few variables: what sbatch sees becomes the job's environment, and SBATCH_* or SQUEUE_* of the agent's own
   * environment would change what commands do.
   */
  private environment(): NodeJS.ProcessEnv {
    const names = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'HOME', 'USER', 'LOGNAME', 'LD_LIBRARY_PATH'];
    const own = Object.fromEntries(
      names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ) as NodeJS.ProcessEnv;
    const conf = this.options.conf ?? process.env['SLURM_CONF'];
    return { ...own, ...(conf === undefined ? {} : { SLURM_CONF: conf }), SLURM_TIME_FORMAT: 'standard' };
  }
}

/** The user as whom commands run here. */
export function ownUser(): string {
  return userInfo().username;
}

function judge(command: string, error: Error & { code?: unknown }, stderr: string): CommandAnswer {
  if (error.code === 'ENOENT' || error.code === 'EACCES')
    return {
      kind: 'unreachable',
      detail: `${command} cannot be run (${error.code}): is Slurm installed here?`,
    };
  const detail = wordsOf(stderr) || `${command} ended with ${String(error.code ?? error.message)}`;
  if (unreachableWords.test(stderr)) return { kind: 'unreachable', detail };
  if (unclearWords.test(stderr) || typeof error.code !== 'number') return { kind: 'unclear', detail };
  return { kind: 'refused', detail };
}

/** What a command complained about, without the prefixes that each line carries. */
function wordsOf(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^\w+: (error: |fatal: )?/, '').trim())
    .filter((line) => line !== '');
  return [...new Set(lines)].slice(-4).join('; ').slice(0, 600);
}
