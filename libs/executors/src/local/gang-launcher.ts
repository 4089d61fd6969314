/**
 * A program for `node -e`: starts a gang on this machine, as a batch system does over its nodes, and is its leader to
 * whoever looks. Arguments: size, then the command. The first process speaks; the others keep their words to
 * themselves (`rankN.err`) unless they fail. The first failure ends the gang and is its exit code; otherwise, as with
 * a saved state (75), the code is the first process's.
 */
export const gangLauncher = `
const { spawn } = require('node:child_process');
const { openSync, readFileSync } = require('node:fs');
const { createServer } = require('node:net');
const [size, command, ...args] = process.argv.slice(1);
const probe = createServer().listen(0, '127.0.0.1', () => {
  const { port } = probe.address();
  probe.close(() => begin(String(port)));
});
const asked = [];
let members = [];
for (const signal of ['SIGUSR1', 'SIGTERM'])
  process.on(signal, () => {
    asked.push(signal);
    for (const member of members) member.kill(signal);
  });
function begin(port) {
  let left = Number(size);
  let first = 1;
  members = Array.from({ length: left }, (_, rank) => {
    const error = 'rank' + rank + '.err';
    const child = spawn(command, args, {
      stdio: rank === 0 ? 'inherit' : ['ignore', 'ignore', openSync(error, 'a', 0o600)],
      env: {
        ...process.env,
        RANK: String(rank), LOCAL_RANK: String(rank), WORLD_SIZE: size, LOCAL_WORLD_SIZE: size, GROUP_RANK: '0',
        MASTER_ADDR: '127.0.0.1', MASTER_PORT: port,
      },
    });
    const end = (code, words) => {
      if (code !== 0 && code !== 75) {
        process.stderr.write('process ' + rank + ' of ' + size + ' ended with ' + words + ': ' + (rank === 0 ? '' : readFileSync(error, 'utf8').slice(-2000)) + '\\n');
        for (const member of members) member.kill('SIGKILL');
        process.exit(code);
      }
      if (rank === 0) first = code;
      if (--left === 0) process.exit(first);
    };
    child.once('error', (error) => end(127, error.message));
    child.once('exit', (code, signal) => end(code ?? 1, signal ?? code));
    return child;
  });
  for (const signal of asked) for (const member of members) member.kill(signal);
}
`;
