import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { areas } from '../areas.js';
import { runCli } from '../core/run-cli.js';
import { HubClient, type HubFile } from './hub-client.js';
import { chooseFiles, isHubId, withSteps } from './import-hub.js';

/** A hub with one model, as the protocol has it: weights in git-lfs on another host, the rest in git. */
const commit = 'c'.repeat(40);
const weights = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251));
const config = Buffer.from('{"model_type": "gpt2"}\n');
const sha256 = createHash('sha256').update(weights).digest('hex');
const gitBlob = createHash('sha1').update(`blob ${config.length}\0`).update(config).digest('hex');

let hub: Server;
let store: Server;
let hubUrl: string;
let folder: string;
/** What the servers saw, and how they misbehave. */
let seen: { ranges: (string | undefined)[]; tokensAtStore: (string | undefined)[] };
let cutAfter: number[];
let busy: number;
let sent: Buffer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamtime-hub-client-'));
  store = createServer(serveWeights);
  const storeUrl = await listen(store);
  hub = createServer((request, response) => serveHub(request, response, storeUrl));
  hubUrl = await listen(hub);
});

beforeEach(() => {
  seen = { ranges: [], tokensAtStore: [] };
  cutAfter = [];
  busy = 0;
  sent = weights;
});

afterAll(() => {
  for (const server of [hub, store]) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function serveHub(request: IncomingMessage, response: ServerResponse, storeUrl: string): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', hubUrl);
  const json = (value: unknown, headers = {}) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  const refuse = (status: number, code?: string) =>
    response.writeHead(status, code === undefined ? {} : { 'x-error-code': code }).end();
  if (busy-- > 0) return void response.writeHead(503, { 'retry-after': '0' }).end();
  if (pathname === '/api/models/short/revision/main') {
    return void response.writeHead(307, { location: '/api/models/lab/model/revision/main' }).end();
  }
  if (pathname.startsWith('/api/models/lab/gated')) return void refuse(403, 'GatedRepo');
  if (pathname.startsWith('/api/models/lab/secret') && request.headers.authorization !== 'Bearer right') {
    return void refuse(401, 'RepoNotFound');
  }
  if (pathname === '/api/models/lab/none/revision/main') return void refuse(404, 'RepoNotFound');
  if (pathname.endsWith('/revision/main')) return void json({ id: 'lab/model', sha: commit });
  if (pathname.endsWith('/refs')) {
    return void json({
      branches: [{ name: 'main', ref: 'refs/heads/main', targetCommit: commit }],
      tags: [],
    });
  }
  if (pathname === `/api/models/lab/model/tree/${commit}`) {
    if (searchParams.get('cursor') === null) {
      const link = `<${hubUrl}/api/models/lab/model/tree/${commit}?recursive=true&cursor=2>; rel="next"`;
      return void json(
        [
          { type: 'directory', oid: commit, size: 0, path: 'extra' },
          { type: 'file', oid: gitBlob, size: config.length, path: 'config.json' },
        ],
        { link },
      );
    }
    const lfs = { oid: sha256, size: weights.length, pointerSize: 134 };
    return void json([
      { type: 'file', oid: 'd'.repeat(40), size: weights.length, path: 'model.safetensors', lfs },
    ]);
  }
  if (pathname === `/lab/model/resolve/${commit}/config.json`)
    return void response.writeHead(200).end(config);
  if (pathname === `/lab/model/resolve/${commit}/model.safetensors`) {
    return void response.writeHead(302, { location: `${storeUrl}/weights` }).end();
  }
  refuse(404, 'RepoNotFound');
}

function serveWeights(request: IncomingMessage, response: ServerResponse): void {
  seen.ranges.push(request.headers.range);
  seen.tokensAtStore.push(request.headers.authorization);
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = sent.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': part.length,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${sent.length - 1}/${sent.length}` } : {}),
  });
  const cut = cutAfter.shift();
  if (cut === undefined) response.end(part);
  else response.write(part.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
}

const client = (token?: string) => new HubClient(hubUrl, token, 1);
const weightsFile: HubFile = { path: 'model.safetensors', sizeBytes: weights.length, oid: sha256 };

describe('a hub', () => {
  it('is asked for refs, commits and all pages of files, also under a short id', async () => {
    expect(await client().refs('lab/model')).toEqual([{ name: 'main', commit }]);
    expect(await client().pin('short', 'main')).toEqual({ id: 'lab/model', commit });
    expect(await client().files('lab/model', commit)).toEqual([
      { path: 'config.json', sizeBytes: config.length, oid: gitBlob },
      weightsFile,
    ]);
  });

  it('is asked again when it is busy, and given up with one line', async () => {
    busy = 3;
    expect((await client().pin('lab/model', 'main')).commit).toBe(commit);
    busy = 100;
    await expect(client().pin('lab/model', 'main')).rejects.toThrow(
      /6 times: the hub answered HTTP 503; run the same command again/,
    );
    busy = 0;
    const nobody = createServer();
    const gone = await listen(nobody);
    nobody.close();
    await expect(new HubClient(gone, undefined, 1).pin('a/b', 'main')).rejects.toThrow(
      /6 times: fetch failed \(.*ECONNREFUSED/,
    );
  });

  it('says in one line what is not there, private, or gated', async () => {
    await expect(client().pin('lab/none', 'x')).rejects.toThrow(/has no lab\/none at x/);
    await expect(client().pin('lab/secret', 'main')).rejects.toThrow(/private: set HF_TOKEN/);
    await expect(client('wrong').pin('lab/secret', 'main')).rejects.toThrow(/your HF_TOKEN does not open it/);
    expect((await client('right').pin('lab/secret', 'main')).commit).toBe(commit);
    await expect(client('right').pin('lab/gated', 'main')).rejects.toThrow(/is gated: accept its terms/);
    expect(() => new HubClient('huggingface.co', undefined)).toThrow(/no address of a hub/);
  });
});

describe('a download', () => {
  it('goes on where it broke off, and keeps the token from the host of the weights', async () => {
    const to = join(folder, 'broken');
    cutAfter = [50_000, 60_000];
    const counts: number[] = [];
    const local = await client('right').download('lab/model', commit, weightsFile, to, (n) => counts.push(n));
    expect(local).toEqual({ path: to, sizeBytes: weights.length, sha256 });
    expect(readFileSync(to).equals(weights)).toBe(true);
    // How much of a broken answer reached the disk is the machine's doing; what follows begins where it ended.
    expect(seen.ranges).toHaveLength(3);
    expect(seen.tokensAtStore).toEqual([undefined, undefined, undefined]);
    expect(counts.at(-1)).toBe(weights.length);
  });

  it('is continued by the next call after the first was ended', async () => {
    const to = join(folder, 'ended');
    writeFileSync(`${to}.incomplete`, weights.subarray(0, 123_456));
    await client().download('lab/model', commit, weightsFile, to, () => undefined);
    expect(seen.ranges).toEqual(['bytes=123456-']);
    await client().download('lab/model', commit, weightsFile, to, () => undefined);
    expect(seen.ranges).toHaveLength(1);
  });

  it('that is not the content listed is refused and not kept', async () => {
    const to = join(folder, 'wrong');
    const download = () => client().download('lab/model', commit, weightsFile, to, () => undefined);
    sent = Buffer.from(weights);
    sent[7] = 255;
    await expect(download()).rejects.toThrow(/other bytes than the hub listed/);
    sent = Buffer.concat([weights, weights]);
    await expect(download()).rejects.toThrow(/longer than the hub listed it/);
    sent = weights;
    writeFileSync(`${to}.incomplete`, Buffer.alloc(50));
    await expect(download()).rejects.toThrow(/other bytes/);
    expect(existsSync(to)).toBe(false);
    expect((await download()).sha256).toBe(sha256);
  });

  it('of a file in git is checked by its blob id', async () => {
    const file = { path: 'config.json', sizeBytes: config.length, oid: gitBlob };
    const local = await client().download('lab/model', commit, file, join(folder, 'config'), () => undefined);
    expect(local.sha256).toBe(createHash('sha256').update(config).digest('hex'));
  });
});

describe('an import', () => {
  const run = async (...argv: string[]) => {
    let err = '';
    const exitCode = await runCli(['model', 'import', ...argv], '0', areas, {
      env: { BEAMTIME_HOME: folder, HF_ENDPOINT: hubUrl, BEAMTIME_URL: 'http://127.0.0.1:9', HOME: folder },
      cwd: folder,
      stdout: () => undefined,
      stderr: { isTerminal: false, columns: 80, write: (text) => (err += text) },
      openBrowser: () => undefined,
    });
    return [exitCode, err];
  };

  it('that cannot be is refused in one line, with exit code 2 or 3, before anything is sent', async () => {
    writeFileSync(join(folder, 'wrong.yaml'), 'langauge: deu\n');
    expect(await run('no/such/folder')).toEqual([
      2,
      'error: no/such/folder is neither a folder nor the id of a model\n',
    ]);
    expect(await run('lab/model', '--factors', 'wrong.yaml')).toEqual([
      2,
      expect.stringMatching(/^error: wrong.yaml: .*langauge.*\n$/),
    ]);
    expect(await run('lab/none')).toEqual([
      2,
      expect.stringMatching(/^error: .*has no lab\/none at main\n$/),
    ]);
    expect(await run('lab/secret')).toEqual([3, expect.stringMatching(/^error: .*set HF_TOKEN\n$/)]);
    expect(await run('lab/model', '--revisions', 'v1')).toEqual([2, expect.stringContaining('as v1=1000')]);
  });
});

describe('the revisions of an import', () => {
  it('have their steps said, in their names, or from the factor steps', () => {
    expect(withSteps(['main'], undefined)).toEqual([{ name: 'main', step: 0 }]);
    expect(withSteps(['main', 'step1000', 'stage1-step2000-tokens9B', 'v1=5'], 143_000)).toEqual([
      { name: 'v1', step: 5 },
      { name: 'step1000', step: 1000 },
      { name: 'stage1-step2000-tokens9B', step: 2000 },
      { name: 'main', step: 143_000 },
    ]);
    expect(() => withSteps(['v1'], undefined)).toThrow('say after which step it was saved, as v1=1000');
    expect(() => withSteps(['main', 'step1'], undefined)).toThrow('or "steps" in the factors file');
    expect(() => withSteps(['step1', 'other=1'], undefined)).toThrow('step1 and other are both step 1');
  });

  it('are of what the hub takes as an id', () => {
    expect(['gpt2', 'EleutherAI/pythia-70m', 'a/b.c_d'].every(isHubId)).toBe(true);
    expect(['./gpt2', '/abs', 'a/b/c', '', 'a b', '../x'].some(isHubId)).toBe(false);
  });
});

describe('the files of an import', () => {
  const files = (...paths: string[]): HubFile[] =>
    paths.map((path) => ({ path, sizeBytes: 1, oid: 'a'.repeat(40) }));
  const chosen = (paths: readonly string[], takePickled = false): string[] =>
    chooseFiles('x', files(...paths), takePickled).map((file) => file.path);

  it('are configuration, tokenizer and one form of the weights', () => {
    const all = ['config.json', 'merges.txt', 'tokenizer.json', '.gitattributes', 'model.safetensors'];
    const other = ['pytorch_model.bin', 'tf_model.h5', 'onnx/model.onnx', 'flax_model.msgpack'];
    expect(chosen([...all, ...other])).toEqual([
      'config.json',
      'merges.txt',
      'tokenizer.json',
      'model.safetensors',
    ]);
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const indexes = ['model.safetensors.index.json', 'pytorch_model.bin.index.json'];
    expect(chosen(['config.json', ...indexes, ...shards])).toEqual(['config.json', indexes[0], ...shards]);
  });

  it('never hold pickled weights unless somebody says so', () => {
    const paths = ['config.json', 'pytorch_model.bin', 'model.safetensors.index.json'];
    expect(() => chosen(paths)).toThrow('--pickled-weights takes them all the same');
    expect(chosen(paths, true)).toEqual(['config.json', 'pytorch_model.bin']);
    expect(() => chosen(['config.json'])).toThrow('no weights in safetensors');
    expect(() => chosen(['model.safetensors'])).toThrow('has no config.json');
  });

  it('never lie outside the folder of the revision, whatever a hub lists', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (names) => {
        const paths = chosen(['config.json', 'model.safetensors', ...names]);
        expect(paths.some((path) => path.includes('/') || path.startsWith('.'))).toBe(false);
      }),
    );
  });
});
