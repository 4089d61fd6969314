import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
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
    const all = this.read();
    const key = facilityKey(facilityUrl);
    const who = email.toLowerCase();
    all.facilities[key] = { current: who, logins: { ...all.facilities[key]?.logins, [who]: login } };
    this.write(all);
  }

  /** Forgets one login; another one kept for this facility becomes the current. */
  forget(facilityUrl: string, token: string): void {
    const all = this.read();
    const key = facilityKey(facilityUrl);
    const facility = all.facilities[key];
    if (facility === undefined) return;
    const rest = Object.fromEntries(
      Object.entries(facility.logins).filter(([, login]) => login.token !== token),
    );
    const [first] = Object.keys(rest);
    if (first === undefined) delete all.facilities[key];
    else all.facilities[key] = { current: facility.current in rest ? facility.current : first, logins: rest };
    this.write(all);
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

  /** Whole or not at all: two commands at once must not leave half a file. */
  private write(all: CredentialsFile): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const fresh = `${this.file}.${process.pid}.new`;
    writeFileSync(fresh, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600 });
    renameSync(fresh, this.file);
  }
}

function facilityKey(url: string): string {
  return url.replace(/\/+$/, '');
}
