import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { parse } from 'yaml';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';

const agentMain = fileURLToPath(new URL('../../../agent/dist/main.js', import.meta.url));

export function registerAgentCommands(program: Command, io: CliIo): void {
  const agent = program.command('agent').description('the agent that runs work at a cluster');

  examples(
    agent
      .command('run')
      .description('run the agent of a cluster here until it is stopped; Ctrl-C hands its work back in order')
      .requiredOption('--config <file>', "the agent's YAML file: facility, key, gpus, runner, policy")
      .action(async ({ config }: { config: string }) => {
        const file = resolve(io.cwd, config);
        if (!existsSync(file)) throw new UsageError(`There is no file ${file}`);
        if (!existsSync(agentMain)) throw new UsageError('The agent is not built; run `npm run build` first');
        const code = await runHere(process.execPath, [agentMain, '--config', file]);
        if (code !== 0)
          throw new CheckFailed(`The agent ended with exit code ${code}; its last lines say why`);
      }),
    'agent run --config agent.yaml',
  );

  const drain = (verb: string, description: string, on: boolean): void => {
    examples(
      agent
        .command(verb)
        .description(description)
        .requiredOption('--config <file>', "the agent's YAML file")
        .action(({ config }: { config: string }) => {
          const flag = drainFlag(resolve(io.cwd, config));
          mkdirSync(dirname(flag), { recursive: true });
          if (on) writeFileSync(flag, '');
          else rmSync(flag, { force: true });
          io.show({ draining: on }, () =>
            on ? 'The agent takes nothing new' : 'The agent takes work again',
          );
        }),
      `agent ${verb} --config agent.yaml`,
    );
  };
  drain('drain', 'let the agent here finish what it runs and take nothing new, also after a restart', true);
  drain('undrain', 'let the agent here take work again', false);
}

/** The agent looks for this file in its state folder. */
function drainFlag(file: string): string {
  let config: unknown;
  try {
    config = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
  const { stateDir } = (config ?? {}) as { stateDir?: unknown };
  return join(resolve(dirname(file), typeof stateDir === 'string' ? stateDir : 'agent-state'), 'drain');
}

/** Runs a program with our terminal; signals reach both, and it decides when to end. */
function runHere(command: string, args: readonly string[]): Promise<number> {
  return new Promise((settle, reject) => {
    const child = spawn(command, [...args], { stdio: 'inherit' });
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    process.on('SIGTERM', pass);
    // A terminal sends SIGINT to both; waiting for the child is all there is to do.
    const ignore = (): void => undefined;
    process.on('SIGINT', ignore);
    child.on('error', reject);
    child.on('exit', (code) => {
      process.off('SIGTERM', pass);
      process.off('SIGINT', ignore);
      settle(code ?? 1);
    });
  });
}
