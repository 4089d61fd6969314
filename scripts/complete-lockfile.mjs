// Adds to package-lock.json the packages for other platforms that the registry in reach did not have: a mirror may
// hold only what its own machines need, npm then leaves the rest out, and `npm ci` refuses such a lock everywhere.
// Run after `npm install`; it changes nothing when nothing is missing. With `--check` it only says so (exit code 1).
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = fileURLToPath(new URL('../package-lock.json', import.meta.url));
const lock = JSON.parse(readFileSync(path, 'utf8'));
const missing = missingPackages(lock);

if (process.argv.includes('--check')) {
  for (const name of Object.keys(missing)) console.error(`package-lock.json lacks ${name}`);
  if (Object.keys(missing).length > 0) console.error('Run "node scripts/complete-lockfile.mjs" to add them.');
  process.exitCode = Object.keys(missing).length > 0 ? 1 : 0;
} else if (Object.keys(missing).length > 0) {
  const all = Object.entries({ ...lock.packages, ...missing });
  lock.packages = Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`added ${Object.keys(missing).length} packages of other platforms to package-lock.json`);
}

/** Entries for optional dependencies of an exact version that the lock does not have. */
function missingPackages({ packages }) {
  const found = {};
  for (const parent of Object.values(packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      const entry = `node_modules/${name}`;
      // npm also takes the mark of what it cannot fetch away when it next writes the lock.
      if (packages[entry]?.optional || !/^\d/.test(version)) continue;
      found[entry] = {
        ...(packages[entry] ?? { version, ...platformOf(name) }),
        ...(parent.dev && { dev: true }),
        optional: true,
      };
    }
  }
  return found;
}

/** What such a package's own package.json says, as its name tells it; npm skips it elsewhere. */
function platformOf(name) {
  const words = name.split('/').at(-1).split('-');
  const pick = (known) => words.filter((word) => known.includes(word));
  const os = pick(['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']);
  const cpu = pick(['arm', 'arm64', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64', 'loong64']);
  const libc = words.includes('musl') ? ['musl'] : words.includes('gnu') ? ['glibc'] : [];
  if (os.length !== 1 || cpu.length !== 1)
    throw new Error(`cannot tell the platform of ${name}: add it by hand`);
  return { cpu, ...(os[0] === 'linux' && libc.length > 0 && { libc }), os };
}
