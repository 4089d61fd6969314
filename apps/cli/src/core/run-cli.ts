import { Command, CommanderError } from 'commander';
import type { CliIo, SharedOptions } from './cli-io.js';
import { createIo, type World } from './create-io.js';
import { type ExitCode, exitCodes, reportError } from './report-error.js';

/** Adds the commands of one area to the program. */
export type RegisterCommands = (program: Command, io: CliIo) => void;

export interface Area {
  /** Heading of these commands in the overview. */
  readonly title: string;
  readonly register: RegisterCommands;
}

const overview = `
Where to begin:
  everybody        beamtime status · beamtime login · beamtime whoami
  researcher       propose a suite, apply for access, use outputs and internals, run a study
  lab delegate     cast the lab's ballot, pledge GPU-hours, name the lab's people (beamtime members grant)
  reviewer         review applications of other labs
  cluster operator register a cluster, look after its keys (beamtime keys list), drain it
  secretariat      admit labs (beamtime labs create), open rounds, decide applications
  auditor, public  beamtime audit verify · beamtime verify

Every command takes --json (one JSON value on stdout, problems as JSON on stderr), --url and --as, and asks no questions.
\`beamtime COMMAND --help\` explains a command with examples.

Environment:
  BEAMTIME_URL     the facility; otherwise the one that runs in this folder, or http://127.0.0.1:8420
  BEAMTIME_TOKEN   a session's token or an API key, instead of the kept login
  BEAMTIME_HOME    folder of kept logins (default ~/.config/beamtime)

Exit codes:
  0 done · 1 it failed or a check came out negative · 2 bad usage or input
  3 not logged in, or not allowed · 4 the facility cannot be reached`;

/** The whole program, with the shared options on every command. */
export function createProgram(version: string, areas: readonly Area[], io: CliIo): Command {
  const program = new Command('beamtime')
    .description(
      'Apply for, train, query and study controlled suites of language models at a consortium of labs',
    )
    .version(version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'explain a command')
    .showHelpAfterError('(add --help for what it takes)')
    .showSuggestionAfterError()
    .addHelpText('after', overview);
  for (const { title, register } of areas) {
    program.commandsGroup(`${title}:`);
    register(program, io);
  }
  // Shown with every command; taken before its name too.
  for (const command of [program, ...leaves(program)]) addSharedOptions(command);
  return program;
}

/** Commands that do something, as opposed to groups of commands. */
export function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

function addSharedOptions(command: Command): void {
  const has = (flag: string) => command.options.some((option) => option.long === flag);
  if (!has('--json')) command.option('--json', 'machine-readable output');
  if (!has('--url')) command.option('--url <url>', 'address of the facility');
  if (!has('--as')) command.option('--as <email>', 'use the kept login of this address');
}

/** Runs one command line and says how it ended. Never exits the process. */
export async function runCli(
  argv: readonly string[],
  version: string,
  areas: readonly Area[],
  world: World,
): Promise<ExitCode> {
  const io = createIo(world);
  const program = createProgram(version, areas, io);
  const json = argv.includes('--json');
  for (const command of everyCommand(program)) {
    command.exitOverride();
    command.configureOutput({
      writeOut: (text) => world.stdout(text),
      writeErr: (text) => world.stderr.write(text),
      outputError: () => undefined,
    });
    if (json) command.showHelpAfterError(false);
  }
  program.hook('preAction', (_, action) => {
    const { json = false, url, as } = action.optsWithGlobals<Partial<SharedOptions>>();
    io.settle({ json, url, as });
  });
  if (argv.length === 0) {
    program.outputHelp();
    return exitCodes.ok;
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    // A group named without its command: its help was shown, and that is the answer.
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.badInput;
    const { exitCode, text, problem } = reportError(error, io.facilityUrl);
    world.stderr.write(json ? `${JSON.stringify(problem)}\n` : `error: ${text}\n`);
    return exitCode;
  }
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
