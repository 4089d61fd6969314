// Runs one program at a time for the scripts beside this one: shows that it goes on, and how it ended.
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';

/** A program ended badly: the message says what was run, how it ended, and what to do. */
export class ProgramFailed extends Error {}

const lineCharsShown = 60;
const linesShownOnFailure = 25;

let current;
let cleanUp = () => undefined;

/** What a Ctrl-C must undo from now on; nothing, when called without it. */
export function whenInterrupted(work = () => undefined) {
  cleanUp = work;
}

/** The first signal ends the running program, undoes what must not stay, and stops. */
function stop(signal) {
  current?.kill(signal);
  cleanUp();
  console.error('\nInterrupted: run it again, and it goes on where it stopped.');
  process.exit(130);
}
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

/** Runs a program to its end, showing its last line while it runs and, if it fails, its last lines. */
export function runProgram(what, command, args, { cwd, logPath, env = {}, hint = '', onStart }) {
  const startedMs = Date.now();
  const output = [];
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  const terminal = process.stdout.isTTY;
  const beat = () => {
    const last = output.at(-1)?.slice(0, lineCharsShown) ?? '';
    if (terminal) process.stdout.write(`\r\x1b[K${what} … ${seconds()} s  ${last}`);
    else console.log(`  … ${seconds()} s  ${last}`);
  };
  if (!terminal) console.log(`${what} …`);
  const timer = setInterval(beat, terminal ? 500 : 10_000);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    current = child;
    if (child.pid) onStart?.(child.pid);
    const keep = (chunk) =>
      output.push(
        ...chunk
          .toString()
          .split(/[\r\n]+/)
          .filter(Boolean),
      );
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const end = (problem) => {
      clearInterval(timer);
      current = undefined;
      appendFileSync(logPath, `\n$ ${command} ${args.join(' ')}\n${output.join('\n')}\n`);
      if (terminal) process.stdout.write('\r\x1b[K');
      if (!problem) {
        console.log(`${what}: done in ${seconds()} s`);
        return resolve();
      }
      console.error(output.slice(-linesShownOnFailure).join('\n'));
      reject(new ProgramFailed(`${what} failed (${problem}). ${hint} Its whole output is in ${logPath}.`));
    };
    child.once('error', (error) => end(error.message));
    child.once('close', (code, signal) => end(code === 0 ? undefined : (signal ?? `exit code ${code}`)));
  });
}
