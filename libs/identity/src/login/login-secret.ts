import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** File in the state folder that proves who owns the machine: the local login asks for what it holds. */
export const loginSecretFile = 'local-login-secret';

/** The secret of this installation, made at the first start; readable by the owner of the machine only. */
export function keepLoginSecret(stateDir: string): string {
  const file = join(stateDir, loginSecretFile);
  mkdirSync(stateDir, { recursive: true });
  const fresh = `${file}.${process.pid}.new`;
  writeFileSync(fresh, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
  try {
    // A link is made whole or not at all, and never replaces a secret that is there.
    linkSync(fresh, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  return readFileSync(file, 'utf8').trim();
}

/** Compares without telling by the time it takes how much was right. */
export function sameSecret(given: string, kept: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(kept));
}
