import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  commitSpaceFile,
  findSpaceFile,
  registerCluster,
  type TesTask,
  tesCreateTask,
  tesGetTask,
  uploadSpaceFile,
} from '@beamtime/contracts';
import { AgentProcess } from '../agent-process.js';
import { type SchedulingForTest, schedulingForTest, sha256Of, untilActive } from '../testing.js';

/** The image that the test cluster runs, as programs of this machine. */
export const image = 'localhost/host:1';
/** One command of a task: a shell script. */
export const sh = (script: string, more: object = {}) => ({ image, command: ['sh', '-c', script], ...more });

const pollMs = 50;
const patienceMs = 60_000;

/** A facility with one real agent that takes commands, and a web server; starting it costs more than most tests do. */
export interface TesForTest {
  readonly at: SchedulingForTest;
  readonly agent: AgentProcess;
  /** Answers every GET, except `/away`, which leads where no operator allows. */
  readonly webUrl: string;
  /** What was PUT to the web server, by path. */
  readonly put: ReadonlyMap<string, string>;
  create(body: object): Promise<string>;
  show(id: string, view?: 'MINIMAL' | 'BASIC' | 'FULL'): Promise<TesTask>;
  /** The whole task, once it has ended. */
  ended(id: string): Promise<TesTask>;
  run(body: object): Promise<TesTask>;
  /** Puts a file into the lab's space; answers its url. */
  keep(path: string, text: string): Promise<string>;
  textOf(url: string): Promise<string>;
  close(): Promise<void>;
}

export async function tesForTest(): Promise<TesForTest> {
  const put = new Map<string, string>();
  const web = webServer(put);
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  // Programs of other tests share the processors: a lease that a busy machine renews in time.
  const at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '10000' });
  const { cluster, agentKey } = await at.operator.call(registerCluster, {
    body: { labId: at.labId, name: `tasks-${randomUUID().slice(0, 8)}` },
  });
  const agent = new AgentProcess(
    cluster.clusterId,
    at.service.url,
    agentKey,
    'of-tasks',
    undefined,
    { kinds: ['command'] },
    { containers: { engine: 'none', images: ['localhost/*'], hosts: ['127.0.0.1'] } },
  ).start();
  await untilActive(at, cluster.clusterId);

  const create = async (body: object): Promise<string> =>
    (await at.researcher.call(tesCreateTask, { body: body as never })).id;
  const show: TesForTest['show'] = (id, view = 'FULL') =>
    at.researcher.call(tesGetTask, { params: { id }, query: { view } });
  const ended = async (id: string): Promise<TesTask> => {
    for (const deadlineMs = Date.now() + patienceMs; Date.now() < deadlineMs; ) {
      const { state } = await show(id, 'MINIMAL');
      if (/COMPLETE|ERROR|CANCELED|PREEMPTED/.test(state ?? '')) return show(id);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    throw new Error(`task ${id} has not ended within ${patienceMs} ms`);
  };
  return {
    at,
    agent,
    webUrl: `http://127.0.0.1:${(web.address() as AddressInfo).port}`,
    put,
    create,
    show,
    ended,
    run: async (body) => ended(await create(body)),
    async keep(path, text) {
      const url = `beamtime://${at.labId}/${path}`;
      const body = { url, sizeBytes: Buffer.byteLength(text), sha256: sha256Of(text) };
      const { upload } = await at.researcher.call(uploadSpaceFile, { body });
      if (upload !== null) {
        const answer = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: text });
        if (!answer.ok) throw new Error(`the upload was refused: HTTP ${answer.status}`);
      }
      await at.researcher.call(commitSpaceFile, { body });
      return url;
    },
    async textOf(url) {
      const { downloadUrl } = await at.researcher.call(findSpaceFile, { query: { url } });
      return (await fetch(downloadUrl)).text();
    },
    async close() {
      await agent.remove();
      web.close();
      await at.close();
    },
  };
}

function webServer(put: Map<string, string>): Server {
  return createServer((request, response) => {
    if (request.method === 'PUT') {
      let body = '';
      request.on('data', (part) => (body += part));
      request.on('end', () => {
        put.set(request.url ?? '', body);
        response.end();
      });
    } else if (request.url === '/away') response.writeHead(302, { location: 'http://169.254.1.1/' }).end();
    else response.end('from the web\n');
  });
}
