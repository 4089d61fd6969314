import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const agentMain = fileURLToPath(new URL('../../agent/dist/main.js', import.meta.url));
const fakeRunner = fileURLToPath(new URL('./fake-runner.mjs', import.meta.url));

/** The real agent as a process of its own. */
export class AgentProcess {
  process: ChildProcess | undefined;
  stderr = '';
  readonly stateDir: string;
  /** Put before the agent's command line, as `ip netns exec NAME`. */
  prefix: readonly string[] = [];
  private readonly home: string;
  private readonly file: string;

  constructor(
    readonly clusterId: string,
    private readonly url: string,
    private readonly key: string,
    private readonly gpuType: string,
    private readonly runnerCommand: readonly string[] = [process.execPath, fakeRunner],
    policy: object = {},
    more: object = {},
  ) {
    const home = mkdtempSync(join(tmpdir(), 'beamtime-agent-'));
    this.home = home;
    this.stateDir = join(home, 'state');
    this.file = join(home, 'agent.yaml');
    // YAML takes JSON.
    const config = {
      facility: this.url,
      key: this.key,
      stateDir: 'state',
      gpus: { count: 2, type: this.gpuType },
      runner: { command: this.runnerCommand },
      policy,
      ...more,
    };
    writeFileSync(this.file, JSON.stringify(config));
  }

  start(): this {
    this.stderr = '';
    const [command = '', ...args] = [...this.prefix, process.execPath, agentMain, '--config', this.file];
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (data) => {
      this.stderr += String(data);
    });
    this.process = child;
    return this;
  }

  async stop(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return ended;
  }

  /** Another process of the same cluster, with a state folder of its own, as after a copied configuration. */
  twin(): AgentProcess {
    return new AgentProcess(this.clusterId, this.url, this.key, this.gpuType);
  }

  /** Ends it, whatever it does, and removes what it kept. */
  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Pids of the programs that it runs. */
  programs(): number[] {
    const kept = join(this.stateDir, 'programs');
    if (!existsSync(kept)) return [];
    return readdirSync(kept)
      .filter((name) => name.endsWith('.json'))
      .map(
        (name) =>
          (JSON.parse(readFileSync(join(kept, name), 'utf8')) as { process: { pid: number } }).process.pid,
      );
  }
}
