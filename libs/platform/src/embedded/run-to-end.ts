import { spawn } from 'node:child_process';

/** What a program needs of the environment to find others; nothing that would steer a database client. */
export const plainEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
});

/** Bytes of output kept for an error message. */
const outputCharsMax = 16_384;

/** Runs a program to its end; its output is for error messages. */
export function runToEnd(program: {
  readonly command: string;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly uid?: number;
  readonly gid?: number;
}): Promise<{ exitCode: number | null; output: string }> {
  const { command, args, timeoutMs, ...user } = program;
  return new Promise((resolve) => {
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-outputCharsMax);
    };
    const child = spawn(command, [...args], {
      ...user,
      cwd: '/',
      env: plainEnvironment(),
      timeout: timeoutMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('error', (error) => resolve({ exitCode: null, output: error.message }));
    child.once('close', (exitCode) => resolve({ exitCode, output }));
  });
}
