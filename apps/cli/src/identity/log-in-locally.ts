import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApiClient, localLogin, type SessionWire } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { findStateFolder } from '../core/find-facility.js';
import { UsageError } from '../core/usage-error.js';

/** As the facility names it in its state folder. */
const secretFileName = 'local-login-secret';

export interface LocalLoginWish {
  readonly email: string;
  readonly name: string | undefined;
  readonly secretariat: boolean;
  readonly secretFile: string | undefined;
}

/** Logs in at a facility on this machine: whoever can read its secret owns it. */
export async function logInLocally(io: CliIo, wish: LocalLoginWish): Promise<SessionWire> {
  const secret = readSecret(io, wish.secretFile);
  const body = { email: wish.email, name: wish.name, secretariat: wish.secretariat, secret };
  return createApiClient(io.facilityUrl()).call(localLogin, { body });
}

function readSecret(io: CliIo, given: string | undefined): string {
  const stateDir = findStateFolder(io.env, io.cwd);
  const file = given ?? (stateDir === undefined ? undefined : join(stateDir, secretFileName));
  if (file === undefined) {
    throw new UsageError(
      'No facility runs in this folder; go to the folder where it was started, or name its .beamtime/local-login-secret with --secret-file',
    );
  }
  return readFileSync(file, 'utf8').trim();
}
