import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AccessServiceModule, accessSchemas } from '@beamtime/access-app';
import { PlanJobs } from '@beamtime/catalogue';
import {
  acceptAward,
  computeSurprisal,
  createAllocationKey,
  createApiClient,
  createApplication,
  createCapture,
  createCompletion,
  decideApplication,
  listClosedModel,
  listModels,
  listRevisionFiles,
  listServedModels,
  ProblemError,
  showAllocation,
  showModel,
  withdrawClosedModel,
} from '@beamtime/contracts';
import { GatewayServiceModule, gatewaySchemas } from '@beamtime/gateway-app';
import { IdentityModule } from '@beamtime/identity';
import { seedLab, seedPerson } from '@beamtime/identity/testing';
import { Upstreams } from '@beamtime/inference';
import { createLogger, Transactor } from '@beamtime/platform';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

/** An answer of 17 MiB must come before it on a busy machine; two tests wait for it to pass. */
const timeoutMs = 6_000;
/** The key that must stand nowhere but in the request to the upstream. */
const secret = 'sk-upstream-0123456789abcdef';
const listing = {
  name: 'big-model',
  provider: 'Big Lab',
  upstream: 'big-lab',
  upstreamModel: 'big-model-2026-05-01',
  factors: { language: 'eng' },
};

interface Asked {
  readonly authorization: string | undefined;
  readonly body: Record<string, unknown>;
}

let upstream: Server;
let address: string;
let asked: Asked[];
/** How the far side answers the next requests. */
let answer: (body: Asked['body'], response: ServerResponse, request: IncomingMessage) => void;
let service: TestService;
let modelId: string;
let allocationId: string;
let key: string;
const tokens: Record<string, string> = {};

class Services {}

beforeAll(async () => {
  upstream = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as Asked['body'];
      asked.push({ authorization: request.headers.authorization, body });
      answer(body, response, request);
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`;
  service = await serviceForTest({
    module: { module: Services, imports: [AccessServiceModule, GatewayServiceModule] },
    schemas: [...new Set([...accessSchemas, ...gatewaySchemas])],
    identity: IdentityModule,
    settings: {
      BIG_LAB_KEY: secret,
      BEAMTIME_UPSTREAMS: JSON.stringify({
        'big-lab': { baseUrl: address, apiKeyEnv: 'BIG_LAB_KEY', timeoutMs, echoesLogprobs: true },
        silent: { baseUrl: address },
      }),
    },
  });
  await service.app.get(Transactor).do(async (tx) => {
    const lab = await seedLab(tx, 'north');
    tokens['ada'] = (await seedPerson(tx, 'ada@north.org', [{ labId: lab, role: 'researcher' }])).token;
    tokens['sec'] = (await seedPerson(tx, 'sec@beamtime.org', [{ labId: null, role: 'secretariat' }])).token;
  });
  modelId = (await as('sec').call(listClosedModel, { body: listing })).modelId;
  const application = {
    title: 'Agreement in a closed model',
    purpose: 'Does it agree with its subject?',
    models: [modelId],
    scopes: ['outputs' as const, 'internals:read' as const],
    requested: [{ unit: 'output_tokens' as const, amount: 1_000 }],
    endsAt: new Date(Date.now() + 30 * 86_400_000).toISOString(),
  };
  const params = await as('ada').call(createApplication, { body: application });
  await as('sec').call(decideApplication, { params, body: { outcome: 'award', reason: 'small' } });
  allocationId = (await as('ada').call(acceptAward, { params })).allocationId;
  key = (await as('ada').call(createAllocationKey, { params: { allocationId }, body: { label: 'test' } }))
    .token;
});

afterAll(async () => {
  await service?.close();
  upstream?.closeAllConnections();
  await new Promise((resolve) => upstream?.close(resolve));
});

beforeEach(() => {
  asked = [];
  answer = completed;
});

const as = (who: string) => createApiClient(service.url, tokens[who] ?? key);
const json = (response: ServerResponse, status: number, body: unknown) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

/** Two tokens for each prompt, with what they were asked for. */
function completed(body: Asked['body'], response: ServerResponse): void {
  const prompts = [body['prompt']].flat();
  const logprobs = {
    tokens: [' are', ' here'],
    token_logprobs: [-0.5, -1.5],
    top_logprobs: null,
    text_offset: [0, 4],
  };
  json(response, 200, {
    id: 'theirs',
    object: 'text_completion',
    created: 1,
    model: 'big-model-2026-05-01',
    choices: prompts.map((_, index) => ({
      index,
      text: ' are here',
      logprobs: body['logprobs'] === undefined ? null : logprobs,
      finish_reason: 'length',
    })),
    usage: {
      prompt_tokens: 3 * prompts.length,
      completion_tokens: 2 * prompts.length,
      total_tokens: 5 * prompts.length,
    },
  });
}

async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => new Error('the call went through'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ProblemError) return error.problem.code;
  throw error;
}

/** The refusal of a route that speaks OpenAI's protocol, in its shape. */
async function refused(path: string, body: object): Promise<{ code: string; message: string }> {
  const response = await fetch(service.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'big-model', ...body }),
  });
  const answered = (await response.json()) as { error?: { code: string; message: string } };
  if (answered.error === undefined) throw new Error('the call went through');
  return answered.error;
}

async function units(): Promise<{ available: number; held: number }> {
  const { balances } = await as('ada').call(showAllocation, { params: { allocationId } });
  const [balance] = balances.filter((one) => one.unit === 'output_tokens');
  return { available: Number(balance?.available), held: Number(balance?.held) };
}

const prompt = { prompt: 'The keys', max_tokens: 5 };
const complete = (more: object = {}) =>
  as('key').call(createCompletion, { body: { model: 'big-model', ...prompt, ...more } });
const refusedCompletion = (more: object = {}) => refused('/v1/completions', { ...prompt, ...more });

describe('listing a closed model', () => {
  it('keeps what is known, and the same description again is the same model', async () => {
    const again = await as('sec').call(listClosedModel, { body: listing });
    expect(again).toMatchObject({ modelId, state: 'listed', factors: { language: 'eng', parameters: null } });
    const shown = await as('ada').call(showModel, { params: { model: 'big-model' } });
    expect(shown.provenance).toMatchObject({
      origin: 'listing',
      source: 'Big Lab',
      upstream: { name: 'big-lab', model: 'big-model-2026-05-01' },
    });
    const found = await as('ada').call(listModels, { query: { state: 'listed' } });
    expect(found.items.map((one) => one.name)).toEqual(['big-model']);
    const audit = await service.app
      .get(Transactor)
      .read.rows(`SELECT details FROM platform.audit_entry WHERE action = 'model.listed'`);
    expect(audit).toHaveLength(1);
  });

  it('is refused for another model of its name, an upstream that is not configured, and whoever may not', async () => {
    const other = { ...listing, upstreamModel: 'bigger' };
    expect(await refusal(as('sec').call(listClosedModel, { body: other }))).toBe('resource.exists');
    for (const name of ['nobody', 'constructor']) {
      const call = as('sec').call(listClosedModel, { body: { ...listing, name: 'x', upstream: name } });
      expect(await refusal(call)).toBe('inference.upstream-unknown');
    }
    expect(await refusal(as('ada').call(listClosedModel, { body: listing }))).toBe('auth.forbidden');
  });
});

describe('a completion of a closed model', () => {
  it('is charged once by what the upstream says it used, and says who was asked', async () => {
    const before = await units();
    const done = await complete({ logprobs: 1, user: 'ada' });
    expect(done.choices).toEqual([
      {
        index: 0,
        text: ' are here',
        finish_reason: 'length',
        logprobs: {
          tokens: [' are', ' here'],
          token_logprobs: [-0.5, -1.5],
          top_logprobs: [null, null],
          text_offset: [0, 4],
        },
      },
    ]);
    expect(done.beamtime).toMatchObject({
      receipt: {
        numerics: 'unknown',
        provider: 'Big Lab',
        upstream: 'big-lab',
        upstreamModel: 'big-model-2026-05-01',
      },
      usage: { held: 5, posted: 2 },
    });
    expect(await units()).toEqual({ available: before.available - 2, held: 0 });
    expect(asked).toHaveLength(1);
    expect(asked[0]?.authorization).toBe(`Bearer ${secret}`);
    expect(asked[0]?.body).toEqual({
      model: 'big-model-2026-05-01',
      prompt: 'The keys',
      max_tokens: 5,
      temperature: 1,
      top_p: 1,
      logprobs: 1,
    });
  });

  it('never costs more than was held', async () => {
    const before = await units();
    expect((await complete({ max_tokens: 1 })).beamtime?.usage).toMatchObject({ held: 1, posted: 1 });
    expect((await units()).available).toBe(before.available - 1);
  });

  it('is streamed to the client of OpenAI, and charged by the last part', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const part = (choices: unknown[], usage?: object) =>
        response.write(`data: ${JSON.stringify({ id: 'theirs', model: 'm', choices, usage })}\n\n`);
      for (const text of [' are', ' here']) part([{ index: 0, text, logprobs: null, finish_reason: null }]);
      part([], { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 });
      response.end('data: [DONE]\n\n');
    };
    const before = await units();
    const client = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: key, maxRetries: 0 });
    const stream = await client.completions.create({
      model: 'big-model',
      prompt: 'The keys',
      max_tokens: 5,
      stream: true,
    });
    let text = '';
    for await (const part of stream) text += part.choices[0]?.text ?? '';
    expect(text).toBe(' are here');
    expect(await units()).toEqual({ available: before.available - 2, held: 0 });
  });

  it('that its client leaves ends at the upstream too, and costs the bytes that were sent', async () => {
    const gone = new Promise<void>((resolve) => {
      answer = (_, response) => {
        response.on('close', resolve);
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        const choices = [{ index: 0, text: ' are', logprobs: null, finish_reason: null }];
        response.write(`data: ${JSON.stringify({ choices })}\n\n`);
      };
    });
    const before = await units();
    const leave = new AbortController();
    const response = await fetch(`${service.url}/v1/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'big-model', ...prompt, stream: true }),
      signal: leave.signal,
    });
    await response.body?.getReader().read();
    leave.abort();
    await gone;
    await expect.poll(units).toEqual({ available: before.available - 4, held: 0 });
  });

  it('is refused where the allocation has not enough, before anybody is asked', async () => {
    expect((await refusedCompletion({ max_tokens: 2_000 })).code).toBe('access.insufficient-units');
    expect(asked).toEqual([]);
  });

  const endless = 'x'.repeat(17 * 1024 * 1024);
  it.each<[string, string, typeof answer]>([
    [
      '429',
      'inference.upstream-limited',
      (_, response) => json(response, 429, { error: { message: secret } }),
    ],
    [
      '500',
      'inference.upstream-unavailable',
      (_, response) => json(response, 500, { error: { message: secret } }),
    ],
    [
      '401',
      'inference.upstream-unavailable',
      (_, response) => json(response, 401, { error: { message: secret } }),
    ],
    [
      '400',
      'inference.upstream-refused',
      (_, response) => json(response, 400, { error: { message: secret } }),
    ],
    ['a redirect', 'inference.upstream-unavailable', (_, r) => r.writeHead(307, { location: address }).end()],
    ['silence', 'inference.upstream-unavailable', () => undefined],
    ['half an answer', 'inference.upstream-unavailable', (_, r) => r.writeHead(200).write('{"choices": [')],
    ['a cut line', 'inference.upstream-unavailable', (_, response) => response.destroy()],
    ['a page', 'inference.upstream-failed', (_, response) => response.end(`<html>${secret}</html>`)],
    ['no usage', 'inference.upstream-failed', (_, response) => json(response, 200, { choices: [] })],
    ['too much', 'inference.upstream-failed', (_, response) => json(response, 200, { endless })],
  ])('that meets %s is refused with %s, sent once and free', async (_, code, behave) => {
    answer = behave;
    const before = await units();
    const problem = await refusedCompletion();
    expect(problem.code).toBe(code);
    expect(problem.message).not.toContain(secret);
    expect(asked).toHaveLength(1);
    expect(await units()).toEqual(before);
  });
});

describe('surprisal under a closed model', () => {
  const items = [{ text: 'The keys' }];
  const refusedSurprisal = (more: object = {}) => refused('/v1/surprisal', { items, ...more });
  const echo = (text: string) => (_: Asked['body'], response: ServerResponse) =>
    json(response, 200, {
      model: 'm',
      choices: [
        {
          index: 0,
          text,
          logprobs: { tokens: ['The', ' keys'], token_logprobs: [null, -2 * Math.LN2], text_offset: [0, 3] },
          finish_reason: 'length',
        },
      ],
      usage: { prompt_tokens: 2, completion_tokens: 0, total_tokens: 2 },
    });

  it('is that of each token after the first, in bits', async () => {
    answer = echo('The keys');
    const before = await units();
    const scored = await as('key').call(computeSurprisal, {
      body: { model: 'big-model', items, unit: 'token' },
    });
    expect(scored.items).toEqual([
      {
        units: [{ start: 3, end: 8, text: ' keys', surprisal: 2, tokenIds: [] }],
        total: 2,
        bytes: 5,
        tokens: 1,
      },
    ]);
    expect(scored.receipt).toMatchObject({ numerics: 'unknown' });
    expect((await units()).available).toBe(before.available - 2);
  });

  it('is refused by word, from an upstream that does not score, and of another text', async () => {
    expect((await refusedSurprisal()).code).toBe('inference.upstream-unsupported');
    expect(asked).toEqual([]);
    const before = await units();
    answer = echo('The lock');
    expect((await refusedSurprisal({ unit: 'token' })).code).toBe('inference.upstream-failed');
    expect(await units()).toEqual(before);
    await as('sec').call(listClosedModel, { body: { ...listing, name: 'mute', upstream: 'silent' } });
    const call = refusedSurprisal({ model: 'mute', unit: 'token' });
    expect((await call).code).toBe('inference.upstream-unsupported');
    expect((await refusedCompletion({ model: 'mute', echo: true })).code).toBe(
      'inference.upstream-unsupported',
    );
  });
});

describe('what a closed model has not', () => {
  it('is refused with one code: captures, embeddings, files, the hub, and jobs', async () => {
    const model = 'big-model';
    const code = 'catalogue.behaviour-only';
    expect((await refused('/v1/embeddings', { input: 'a' })).code).toBe(code);
    expect((await refused('/v1/tokenize', { text: 'a' })).code).toBe(code);
    const capture = { model, input: { text: 'a' }, sites: ['layers.0.output'] };
    expect(await refusal(as('key').call(createCapture, { body: capture }))).toBe(code);
    const files = as('ada').call(listRevisionFiles, { params: { model, revision: 'main' } });
    expect(await refusal(files)).toBe(code);
    const file = await fetch(`${service.url}/beamtime/big-model/resolve/main/config.json`);
    expect({ status: file.status, body: await file.json() }).toMatchObject({
      status: 409,
      body: { code: 'catalogue.behaviour-only' },
    });
    const plan = service.app.get(PlanJobs);
    const evaluation = { heldOut: [], headScores: true };
    for (const planned of [
      await plan.serving(modelId),
      await plan.evaluation(modelId, evaluation),
      await plan.evaluationToCome(modelId, evaluation),
      await plan.inputs([{ modelId, revision: 'main', path: 'weights' }]),
    ]) {
      expect(planned).toMatchObject({ ok: false, error: { code: 'catalogue.behaviour-only' } });
    }
    expect(asked).toEqual([]);
  });

  it('is no bar to being listed with what a key may ask', async () => {
    const { data } = await as('key').call(listServedModels, {});
    expect(data.map((one) => one.id)).toEqual(['big-model']);
  });
});

describe('the key of an upstream', () => {
  it('stands neither in the logs at their finest nor in the database', async () => {
    const lines: string[] = [];
    const log = createLogger('test', 'trace', { write: (line: string) => void lines.push(line) });
    const upstreams = new Upstreams(service.config.BEAMTIME_UPSTREAMS, log);
    answer = (_, response) => json(response, 401, { error: { message: `bad key ${secret}` } });
    const failed = await upstreams.complete({
      upstream: 'big-lab',
      body: { model: 'm', prompt: 'a' },
      signal: new AbortController().signal,
    });
    expect(failed).toMatchObject({ ok: false, error: { code: 'inference.upstream-unavailable' } });
    expect(lines.join('')).toContain('an upstream failed');
    expect(lines.join('')).not.toContain(secret);
    const read = service.app.get(Transactor).read;
    const tables = await read.rows<{ name: string }>(
      `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
       WHERE table_type = 'BASE TABLE' AND table_schema IN ('catalogue', 'access', 'platform', 'inference')`,
    );
    expect(tables.length).toBeGreaterThan(10);
    for (const { name } of tables) {
      const rows = await read.rows(`SELECT 1 FROM ${name} AS t WHERE strpos(t::text, $1) > 0`, [secret]);
      expect({ name, rows }).toEqual({ name, rows: [] });
    }
  });
});

describe('a closed model that is withdrawn', () => {
  it('stays in the catalogue with the reason, is refused from then on, and cannot be listed again', async () => {
    const withdraw = (who: string, reason: string) =>
      as(who).call(withdrawClosedModel, { params: { model: 'big-model' }, body: { reason } });
    expect(await refusal(withdraw('ada', 'why not'))).toBe('auth.forbidden');
    const gone = await withdraw('sec', 'Big Lab ended it');
    expect(gone).toMatchObject({ modelId, state: 'withdrawn', reason: 'Big Lab ended it' });
    expect(await withdraw('sec', 'said twice')).toEqual(gone);
    expect(await as('ada').call(showModel, { params: { model: 'big-model' } })).toMatchObject({
      state: 'withdrawn',
      factors: { language: 'eng' },
    });
    const { code, message } = await refusedCompletion();
    expect(code).toBe('catalogue.withdrawn');
    expect(message).toContain('Big Lab ended it');
    expect(asked).toEqual([]);
    expect((await as('key').call(listServedModels, {})).data).toEqual([]);
    expect(await refusal(as('sec').call(listClosedModel, { body: listing }))).toBe('resource.exists');
    expect(
      await service.app.get(PlanJobs).evaluation(modelId, { heldOut: [], headScores: true }),
    ).toMatchObject({
      ok: false,
      error: { code: 'catalogue.behaviour-only' },
    });
  });
});
