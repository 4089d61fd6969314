// npm run bench:scheduling [-- --part cycles|kueue|depth] — the control plane on its own servers: the scheduler service
// over real HTTP, a durable PostgreSQL, Redis, and simulated agents that hold real leases.
import { parseArgs } from 'node:util';
import { measureCycles, measureSubmissions } from './cycles.mjs';
import { startServers } from './servers.mjs';

const { values } = parseArgs({
  options: { part: { type: 'string' }, seconds: { type: 'string', default: '15' }, jobs: { type: 'string', default: '12000' }, protocol: {type: 'string', default: 'batch'} },
});
const say = (line) => process.stderr.write(`  ${line}\n`);
const servers = await startServers({ say });
try {
  if (values.part === 'submit') console.log(await measureSubmissions(servers, { jobs: 2000, parallel: 16, say }));
  else  console.log(await measureCycles(servers, { seconds: Number(values.seconds), protocol: values.protocol, jobs: Number(values.jobs), say }));
} finally {
  await servers.close();
}
