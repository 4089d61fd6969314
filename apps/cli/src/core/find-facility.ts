import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { UsageError } from './usage-error.js';

/** Where a facility listens unless it is told otherwise. */
export const usualUrl = 'http://127.0.0.1:8420';
const stateFolder = '.beamtime';
const addressFile = 'facility.json';

type Env = Readonly<Record<string, string | undefined>>;

/** The facility to talk to, without a slash at its end. */
export function findFacilityUrl(given: string | undefined, env: Env, cwd: string): string {
  const named = given ?? env['BEAMTIME_URL'];
  if (named !== undefined && named !== '') return checkedUrl(named);
  const stateDir = findStateFolder(env, cwd);
  return (stateDir === undefined ? undefined : urlIn(stateDir)) ?? usualUrl;
}

/** The state folder of an embedded facility: BEAMTIME_STATE_DIR, or `.beamtime` in this folder or one above it. */
export function findStateFolder(env: Env, cwd: string): string | undefined {
  const named = env['BEAMTIME_STATE_DIR'];
  if (named !== undefined && named !== '') return resolve(cwd, named);
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const state = join(folder, stateFolder);
    if (urlIn(state) !== undefined) return state;
    if (dirname(folder) === folder) return undefined;
  }
}

/** The address that a running embedded facility left in its state folder. */
export function urlIn(stateDir: string): string | undefined {
  try {
    const { url } = JSON.parse(readFileSync(join(stateDir, addressFile), 'utf8')) as { url?: unknown };
    return typeof url === 'string' ? checkedUrl(url) : undefined;
  } catch {
    // No facility has run here, or it is just writing the file: the usual address is tried.
    return undefined;
  }
}

function checkedUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`${text} is not an address; write it as https://host or http://host:port`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new UsageError(`${text}: a facility is reached over http or https`);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}
