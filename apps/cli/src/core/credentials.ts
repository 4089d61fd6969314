import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { UsageError } from './usage-error.js';

const loginSchema = z.object({ token: z.string(), expiresAt: z.string() });
const facilitySchema = z.object({ current: z.string(), logins: z.record(z.string(), loginSchema) });
const fileSchema = z.object({ facilities: z.record(z.string(), facilitySchema) });
type CredentialsFile = z.infer<typeof fileSchema>;
export type KeptLogin = z.infer<typeof loginSchema>;

/** The logins that this user keeps, per facility: one current, others by e-mail address. Readable by the user only. */
export class Credentials {
  private readonly folder: string;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.folder =
      env['BEAMTIME_HOME'] ??
      join(env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? homedir(), '.config'), 'beamtime');
  }

  get file(): string {
    return join(this.folder, 'credentials.json');
  }

  /** The kept login of a facility: of this address, or the one used last. */
  find(facilityUrl: string, email: string | undefined): KeptLogin | undefined {
    const facility = this.read().facilities[facilityKey(facilityUrl)];
    return facility?.logins[email?.toLowerCase() ?? facility.current];
  }

  keep(facilityUrl: string, email: string, login: KeptLogin): void {
    this.change((all) => {
      const key = facilityKey(facilityUrl);
      const who = email.toLowerCase();
      all.facilities[key] = { current: who, logins: { ...all.facilities[key]?.logins, [who]: login } };
    });
  }

  /** Forgets one login; another one kept for this facility becomes the current. */
  forget(facilityUrl: string, token: string): void {
    this.change((all) => {
      const key = facilityKey(facilityUrl);
      const facility = all.facilities[key];
      if (facility === undefined) return;
      const rest = Object.fromEntries(
        Object.entries(facility.logins).filter(([, login]) => login.token !== token),
      );
      const [first] = Object.keys(rest);
      if (first === undefined) delete all.facilities[key];
      else
        all.facilities[key] = { current: facility.current in rest ? facility.current : first, logins: rest };
    });
  }

  /** Reads, changes and writes while no other command does: of two logins at once both are kept. */
  private change(edit: (all: CredentialsFile) => void): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const lock = `${this.file}.lock`;
    takeLock(lock);
    try {
      const all = this.read();
      edit(all);
      this.write(all);
    } finally {
      rmSync(lock, { force: true });
    }
  }

  private read(): CredentialsFile {
    let text: string;
    try {
      text = readFileSync(this.file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { facilities: {} };
      throw error;
    }
    try {
      return fileSchema.parse(JSON.parse(text));
    } catch {
      throw new UsageError(`${this.file} is damaged; remove it and log in again`);
    }
  }

  /** Whole or not at all: whoever reads meanwhile must not see half a file. */
  private write(all: CredentialsFile): void {
    const fresh = `${this.file}.${process.pid}.new`;
    writeFileSync(fresh, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600 });
    renameSync(fresh, this.file);
  }
}

/** Nobody holds the lock longer than a few milliseconds; an older one was left by a command that was killed. */
const lockForgottenAfterMs = 5_000;
const lockRetryMs = 10;

function takeLock(lock: string): void {
  for (;;) {
    try {
      writeFileSync(lock, '', { flag: 'wx', mode: 0o600 });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const sinceMs = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - sinceMs > lockForgottenAfterMs) rmSync(lock, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lockRetryMs);
  }
}

function facilityKey(url: string): string {
  return url.replace(/\/+$/, '');
}
