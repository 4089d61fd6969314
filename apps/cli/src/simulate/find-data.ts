import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { Result } from '@beamtime/kernel';
import type { TraceProblem } from '@beamtime/scheduling/simulate';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';

/** A trace is read whole; the largest published ones have a tenth of this. */
const traceBytesMax = 512 * 1024 * 1024;

/** Where the traces lie: BEAMTIME_DATA/traces, without it ../shared/data/traces. */
export function traceFolder(io: CliIo): string {
  return resolve(io.cwd, io.env['BEAMTIME_DATA'] || '../shared/data', 'traces');
}

/**
 * The file that a person named: a path below the traces, or one from where they stand, or an absolute one.
 * @param option what named it, for the message
 */
export function findFile(io: CliIo, option: string, path: string): string {
  const candidates = isAbsolute(path) ? [path] : [join(traceFolder(io), path), resolve(io.cwd, path)];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found !== undefined) return found;
  const data = io.env['BEAMTIME_DATA']
    ? ''
    : '; BEAMTIME_DATA, which is not set, names the folder of the data';
  throw new UsageError(`${option}: there is no ${candidates.join(' and no ')}${data}`);
}

/** The file that was named, or the one that lies beside the trace, or else the one among the traces. */
export function besides(
  io: CliIo,
  option: string,
  given: string | undefined,
  trace: string,
  folder: string,
  usual: string,
): string {
  if (given !== undefined) return findFile(io, option, given);
  const candidates = [join(dirname(trace), usual), join(traceFolder(io), folder, usual)];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found === undefined)
    throw new UsageError(`There is no ${candidates.join(' and no ')}; ${option} names another file`);
  return found;
}

/** Reads a file of a trace; a wrong line ends the command with its number. */
export async function readTrace<T>(
  path: string,
  read: (text: string) => Result<T, TraceProblem>,
): Promise<T> {
  const { size } = statSync(path);
  if (size > traceBytesMax)
    throw new UsageError(`${path} has ${size} bytes; at most ${traceBytesMax} are read`);
  const result = read(await readFile(path, 'utf8'));
  if (!result.ok) throw new UsageError(`${path}: ${result.error.detail}`);
  return result.value;
}

export function oneOf<T extends string>(option: string, known: readonly T[], given: string | undefined): T {
  const found = known.find((value) => value === given);
  if (found !== undefined) return found;
  const not = given === undefined ? '' : `, not ${given}`;
  throw new UsageError(`${option} must be one of ${known.join(', ')}${not}`);
}
