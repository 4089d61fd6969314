// One set-up at a time in a checkout: a second one waits for the first, and finds most of it done.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

const pollMs = 500;

/**
 * A lock that a killed process does not keep: the file names its holder, and the program that this one runs at the
 * moment (which may go on after it), each by pid and by when it started.
 */
export function setupLock(path) {
  let isHeld = false;
  const release = () => {
    if (isHeld) rmSync(path, { force: true });
    isHeld = false;
  };
  process.on('exit', release);
  const line = (pid) => `${pid} ${startOf(pid)}\n`;
  const noteProgram = (pid) => isHeld && writeFileSync(path, line(process.pid) + line(pid));
  return { take, release, noteProgram };

  async function take() {
    for (let said = false; !isHeld; ) {
      try {
        writeFileSync(path, line(process.pid), { flag: 'wx' });
        isHeld = true;
        return;
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const holder = readHolder();
      if (isGone(holder)) {
        // It may be half written, by one who has only just made it: it is stale when it stays as it is.
        await pause(pollMs);
        if (readHolder() === holder) rmSync(path, { force: true });
        continue;
      }
      if (!said) console.log(`waiting for the set-up that process ${holder.split(' ')[0]} runs here …`);
      said = true;
      await pause(pollMs);
    }
  }

  function readHolder() {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  }
}

/** Whether none of the processes named runs any more. */
function isGone(holder) {
  return holder
    .split('\n')
    .filter(Boolean)
    .every((named) => {
      const [pid, ...start] = named.split(' ');
      return start.length === 0 || startOf(Number(pid)) !== start.join(' ');
    });
}

/** When the process of this pid started: pids are used again, this with it is not. Empty when there is none. */
function startOf(pid) {
  if (process.platform !== 'linux')
    return spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? '';
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : fields[19];
  } catch {
    return '';
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
