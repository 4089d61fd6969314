import type { ApiClient } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';

/** Environment variable with the key of an allocation. */
const keyVariable = 'BEAMTIME_API_KEY';
export const keyOption = ['--key <key>', `key of an allocation; or set ${keyVariable}`] as const;
export const keyHint = `Needs the key of an allocation: beamtime allocation key create --help`;

/** A client that asks with the key of an allocation: a login is not enough to ask a model. */
export function keyClient(io: CliIo, key: string | undefined): ApiClient {
  const given = key ?? process.env[keyVariable];
  if (given === undefined || given === '')
    throw new UsageError(`no key: pass --key or set ${keyVariable}. ${keyHint}`);
  return io.client().as(given);
}
