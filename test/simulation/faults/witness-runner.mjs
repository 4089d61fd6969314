// The scheduler's stand-in for a runner, with a witness: every 50 ms it writes down that it is alive. So a test sees
// when each program really ran, whatever agents and the facility believe.
import { appendFileSync, readFileSync } from 'node:fs';

const args = process.argv.slice(2);
const [log] = args.splice(0, 1);
process.argv.splice(2, 1);
const job = JSON.parse(readFileSync(args[args.indexOf('--job') + 1], 'utf8'));
const note = () => appendFileSync(log, `${job.jobId} ${job.attempt} ${process.pid} ${Date.now()}\n`);
note();
setInterval(note, 50).unref();
await import('../../../apps/scheduler/src/fake-runner.mjs');
