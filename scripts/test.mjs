// `npm test`: the TypeScript tests (vitest, unit and integration), then the runner's (pytest). Arguments go to
// vitest, and then pytest is left out: `npm test -- libs/kernel`, `npm test -- --project unit`.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dataFolder = resolve(root, process.env.BEAMTIME_DATA ?? '../shared/data');
const vitestArgs = process.argv.slice(2);

if (!existsSync(dataFolder))
  console.log(
    `BEAMTIME_DATA: there is no ${dataFolder}, so the tests that compare with published data are skipped.`,
  );

const suites = [
  {
    name: 'vitest',
    command: [process.execPath, join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...vitestArgs],
    cwd: root,
    closing: /^ *(Test Files|No test files found)/,
  },
];
if (vitestArgs.length === 0)
  suites.push({
    name: 'pytest',
    command: [join(root, '.beamtime/venv/bin/python'), '-m', 'pytest'],
    cwd: join(root, 'apps/runner'),
    closing: /^=*.*\b(passed|failed|errors?|no tests ran|skipped)\b.* in [\d.]+s/,
  });

const results = [];
for (const suite of suites) results.push(await run(suite));

for (const { name, exitCode, closing } of results) {
  console.log(`\n== ${name}: ${exitCode === 0 ? 'passed' : `FAILED (exit code ${exitCode})`}`);
  for (const line of closing) console.log(line);
}
process.exit(results.every(({ exitCode }) => exitCode === 0) ? 0 : 1);

/** Runs one suite to its end, shows all that it says, and keeps what it closes with, word for word. */
function run({ name, command: [program, ...args], cwd, closing: beginsClosing }) {
  console.log(`\n== ${name}`);
  const lines = [];
  let rest = '';
  return new Promise((done) => {
    const child = spawn(program, args, {
      cwd,
      stdio: ['inherit', 'pipe', 'inherit'],
      env: {
        ...process.env,
        BEAMTIME_DATA: dataFolder,
        AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
        ...(process.stdout.isTTY && { FORCE_COLOR: '1' }),
      },
    });
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
    });
    child.once('error', (error) => done({ name, exitCode: 1, closing: [error.message] }));
    child.once('close', (code, signal) => {
      if (rest) lines.push(rest);
      const begin = lines.findLastIndex((line) => beginsClosing.test(plain(line)));
      const closing = begin < 0 ? ['(it ended without closing lines)'] : lines.slice(begin);
      done({ name, exitCode: code ?? signal, closing: closing.filter((line) => plain(line).trim() !== '') });
    });
  });
}

/** A line without the colours that a terminal shows. */
function plain(line) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what begins a colour
  return line.replace(/\x1b\[[\d;]*m/g, '');
}
