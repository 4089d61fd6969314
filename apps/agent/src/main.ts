import {
  type Executor,
  LocalExecutor,
  SiteUnknown,
  SlurmExecutor,
  type SlurmOptions,
} from '@beamtime/executors';
import { Command } from 'commander';
import { Agent } from './agent.js';
import { type AgentConfig, AgentConfigError, loadAgentConfig } from './agent-config.js';
import { Fenced, KeyRefused } from './facility.js';
import { lockStateFolder } from './lock-state-folder.js';
import { logToStderr } from './log.js';

/** Exit codes that a supervisor may act on: configuration (sysexits.h EX_CONFIG), or another agent took over. */
const exitCodes = { crashed: 1, superseded: 3, config: 78 } as const;

async function runAgent(file: string): Promise<void> {
  const config = loadAgentConfig(file, process.env);
  const unlock = lockStateFolder(config.stateDir);
  const agent = new Agent(config, executorOf(config), logToStderr);
  let asked = 0;
  const end = (): void => {
    if (asked++ === 0) agent.stop();
    else agent.kill();
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  process.on('SIGUSR2', () => agent.drain());
  // As daemons do: read the file again. Only the policy can change while work runs.
  process.on('SIGHUP', () => {
    try {
      agent.adopt(loadAgentConfig(file, process.env).policy);
    } catch (error) {
      logToStderr('error', `the policy stays as it was: ${(error as Error).message}`);
    }
  });
  try {
    await agent.run();
  } finally {
    unlock();
  }
}

function executorOf(config: AgentConfig): Executor {
  const { command, passEnv } = config.runner;
  const common = { command, passEnv, stateDir: config.stateDir };
  if (config.executor !== 'local') {
    const { pollSeconds, commandTimeoutSeconds, ...slurm } = config.executor.slurm;
    const given = Object.fromEntries(Object.entries(slurm).filter(([, value]) => value !== undefined));
    return new SlurmExecutor({
      ...common,
      ...(given as Partial<SlurmOptions>),
      ...(pollSeconds === undefined ? {} : { pollMs: pollSeconds * 1000 }),
      ...(commandTimeoutSeconds === undefined ? {} : { commandTimeoutMs: commandTimeoutSeconds * 1000 }),
    });
  }
  const { devices } = config.gpus;
  return new LocalExecutor({ ...common, ...(devices === undefined ? {} : { devices: devices.map(String) }) });
}

function explain(error: unknown): number {
  if (error instanceof AgentConfigError) {
    logToStderr('error', error.message);
    return exitCodes.config;
  }
  if (error instanceof SiteUnknown) {
    logToStderr('error', `the cluster's Slurm does not fit the agent's file: ${error.message}`);
    return exitCodes.config;
  }
  if (error instanceof KeyRefused) {
    logToStderr(
      'error',
      `the facility does not accept this agent's key (${error.message}); an operator of the lab gets a new one with \`beamtime cluster key\``,
    );
    return exitCodes.config;
  }
  if (error instanceof Fenced) {
    logToStderr('error', `a newer agent of this cluster has taken over: ${error.message}`);
    return exitCodes.superseded;
  }
  logToStderr('error', error instanceof Error ? (error.stack ?? error.message) : String(error));
  return exitCodes.crashed;
}

const program = new Command('beamtime-agent')
  .description(
    'Leases work from the facility and runs it on this cluster. SIGTERM ends it in order, SIGUSR2 drains it, SIGHUP reads its policy again.',
  )
  .requiredOption('--config <file>', "the agent's YAML file")
  .action(async ({ config }: { config: string }) => {
    try {
      await runAgent(config);
    } catch (error) {
      process.exitCode = explain(error);
    }
    // Sockets of the HTTP client may linger; nothing of ours is left to wait for.
    process.exit();
  });
await program.parseAsync();
