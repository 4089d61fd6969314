/**
 * The command runner: what an agent's executor starts for a job of kind `command`, where another job starts the Python
 * runner. `command --job FILE --workdir FOLDER`; beside the job file lies `commands.json` with the cluster's settings.
 * It says what happens as JSON lines on stdout (`commandEvent`), and nothing of what the commands print goes there as
 * it is, so that none of them can pose as an event.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type CommandEvent, commandExitCodes, commandJob } from '@beamtime/contracts';
import { CommandRunner } from './command-runner.js';
import { runnerSettings } from './settings.js';

function say(event: CommandEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { job: { type: 'string' }, workdir: { type: 'string' } },
    allowPositionals: true,
  });
  const { job: file, workdir } = values;
  if (file === undefined || workdir === undefined) {
    process.stderr.write('usage: command --job FILE --workdir FOLDER\n');
    return commandExitCodes.badInput;
  }
  const job = commandJob.parse(JSON.parse(readFileSync(file, 'utf8')));
  const settings = runnerSettings.parse(
    JSON.parse(readFileSync(join(dirname(file), 'commands.json'), 'utf8')),
  );
  const runner = new CommandRunner(job, settings, workdir, say);
  // Commands cannot save their state: asked to, they end, and start again elsewhere.
  for (const signal of ['SIGTERM', 'SIGUSR1', 'SIGINT'] as const)
    process.on(signal, () => runner.stop(signal));
  return runner.run();
}

process.exitCode = await main().catch((error: unknown) => {
  say({ event: 'failed', detail: error instanceof Error ? error.message : String(error), exitCode: null });
  return commandExitCodes.crashed;
});
