import { readFileSync } from 'node:fs';
import { areas } from './areas.js';
import { openBrowser } from './core/open-browser.js';
import { runCli } from './core/run-cli.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

// `beamtime … | head` closes the pipe early: that is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), version, areas, {
  env: process.env,
  cwd: process.cwd(),
  openBrowser,
  stdout: (text) => void process.stdout.write(text),
  screen: {
    isTerminal: process.stdout.isTTY === true && process.env['TERM'] !== 'dumb',
    get columns() {
      return process.stdout.columns ?? 100;
    },
    get rows() {
      return process.stdout.rows ?? 30;
    },
  },
  onInterrupt(callback) {
    process.once('SIGINT', callback);
    process.once('SIGTERM', callback);
    return () => {
      process.off('SIGINT', callback);
      process.off('SIGTERM', callback);
    };
  },
  stderr: {
    isTerminal: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? 100,
    write: (text) => void process.stderr.write(text),
  },
});
