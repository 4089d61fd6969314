// On a machine that others use at the same time: lets the benchmark and all that it starts go first, so that what is
// measured is the two cores and not the neighbours. Linux with autogroups, as root; PostgreSQL puts each of its
// processes into a session, and so a group, of its own.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const nice = '-15';
const lookEveryMs = 500;

/** Goes on until this process ends. Throws where the system does not allow it. */
export function goFirst() {
  const raised = new Set();
  const raise = (pid) => {
    if (raised.has(pid)) return;
    writeFileSync(`/proc/${pid}/autogroup`, nice);
    raised.add(pid);
  };
  // Its own group is that of the shell that it was started from, which goes on with other things.
  const [, before = '0'] = / nice (-?\d+)/.exec(readFileSync(`/proc/${process.pid}/autogroup`, 'utf8')) ?? [];
  process.on('exit', () => writeFileSync(`/proc/${process.pid}/autogroup`, before));
  raise(process.pid);
  setInterval(() => {
    for (const pid of descendants(process.pid)) {
      try {
        raise(pid);
      } catch {
        // It has ended since.
      }
    }
  }, lookEveryMs).unref();
}

function descendants(root) {
  const parents = new Map();
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It has ended since.
    }
  }
  const isOurs = (pid) => pid === root || (parents.has(pid) && isOurs(parents.get(pid)));
  return [...parents.keys()].filter(isOurs);
}
