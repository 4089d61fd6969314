import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Credentials } from './credentials.js';
import { findFacilityUrl, findStateFolder, usualUrl } from './find-facility.js';
import { UsageError } from './usage-error.js';

let folder: string;
let credentials: Credentials;
const here = 'http://127.0.0.1:8420';
const login = (token: string) => ({ token, expiresAt: '2030-01-01T00:00:00Z' });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'beamtime-cli-'));
  credentials = new Credentials({ BEAMTIME_HOME: join(folder, 'home') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('keeps logins where only the user reads them', () => {
  credentials.keep(here, 'ada@x.example', login('one'));
  expect(statSync(credentials.file).mode & 0o777).toBe(0o600);
});

it('keeps several logins per facility, the last one current, each found by its address', () => {
  credentials.keep(`${here}/`, 'Ada@x.example', login('one'));
  credentials.keep(here, 'bob@x.example', login('two'));
  credentials.keep('https://other.example', 'ada@x.example', login('three'));
  expect(credentials.find(here, undefined)?.token).toBe('two');
  expect(credentials.find(here, 'ADA@x.example')?.token).toBe('one');
  expect(credentials.find('https://other.example/', undefined)?.token).toBe('three');
  expect(credentials.find('https://third.example', undefined)).toBeUndefined();
});

it('forgets a login and falls back to another one of the same facility', () => {
  credentials.keep(here, 'ada@x.example', login('one'));
  credentials.keep(here, 'bob@x.example', login('two'));
  credentials.forget(here, 'two');
  expect(credentials.find(here, undefined)?.token).toBe('one');
  credentials.forget(here, 'one');
  expect(credentials.find(here, undefined)).toBeUndefined();
});

it('goes on when a command was killed while it wrote', () => {
  credentials.keep(here, 'ada@x.example', login('one'));
  writeFileSync(`${credentials.file}.lock`, '');
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(`${credentials.file}.lock`, longAgo, longAgo);
  credentials.keep(here, 'bob@x.example', login('two'));
  expect(credentials.find(here, 'ada@x.example')?.token).toBe('one');
});

it('says so when the file is damaged', () => {
  credentials.keep(here, 'ada@x.example', login('one'));
  writeFileSync(credentials.file, '{"facilities": 1}');
  expect(() => credentials.find(here, undefined)).toThrow(UsageError);
});

it('finds the facility that runs in this folder or above it, unless another one is named', async () => {
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(folder, '.beamtime'));
  mkdirSync(join(folder, 'a', 'b'), { recursive: true });
  const deep = join(folder, 'a', 'b');
  expect(findFacilityUrl(undefined, {}, deep)).toBe(usualUrl);
  writeFileSync(join(folder, '.beamtime', 'facility.json'), JSON.stringify({ url: 'http://127.0.0.1:9999' }));
  expect(findFacilityUrl(undefined, {}, deep)).toBe('http://127.0.0.1:9999');
  expect(findStateFolder({}, deep)).toBe(join(folder, '.beamtime'));
  expect(findFacilityUrl(undefined, { BEAMTIME_URL: 'https://x.example/base/' }, deep)).toBe(
    'https://x.example/base',
  );
  expect(findFacilityUrl('http://y.example', { BEAMTIME_URL: 'https://x.example' }, deep)).toBe(
    'http://y.example',
  );
  expect(() => findFacilityUrl('y.example', {}, deep)).toThrow(UsageError);
  expect(() => findFacilityUrl('ftp://y.example', {}, deep)).toThrow(UsageError);
});
