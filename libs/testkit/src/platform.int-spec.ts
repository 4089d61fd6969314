import {
  type ApiClient,
  createApiClient,
  endpoint,
  exportAudit,
  type InputOf,
  ProblemError,
} from '@beamtime/contracts';
import { err, problem } from '@beamtime/kernel';
import {
  checkAuditChain,
  createLogger,
  type DeliveredFact,
  deliverFacts,
  Endpoint,
  type FactConsumer,
  Input,
  type Leadership,
  lead,
  NotLeader,
  readAudit,
  requireEpoch,
  sealAudit,
} from '@beamtime/platform';
import { Controller, Get, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { platformForTest, serviceForTest, type TestPlatform, type TestService } from './platform-for-test.js';

const log = createLogger('test', 'silent');
const suiteReleased = { suiteId: `sui_${'0'.repeat(26)}` };

describe('transactions, facts and the audit chain on PostgreSQL', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await platformForTest([]);
  });
  afterAll(() => platform.close());

  /**
   * Delivers what can be delivered now. A transaction that is open anywhere on the server, as of a test beside this
   * one, holds facts back for a moment, so the tests ask until they are there.
   */
  async function deliveredBy(consumer: FactConsumer, seen: readonly string[]): Promise<readonly string[]> {
    await deliverFacts(platform.transactor, consumer, log);
    return [...seen];
  }

  it('delivers a fact once to each consumer, in commit order, and never one that was rolled back', async () => {
    const { transactor } = platform;
    await transactor.do((tx) => tx.record('suite.released', suiteReleased));
    await transactor.run(async (tx) => {
      await tx.record('suite.released', suiteReleased);
      return err(problem('state.conflict', 'rolled back'));
    });
    await transactor.do((tx) => tx.record('suite.released', suiteReleased));
    const seen: string[] = [];
    const consumer = {
      name: 'once',
      handlers: {
        'suite.released': (fact: DeliveredFact<'suite.released'>) => {
          seen.push(fact.eventId);
          return Promise.resolve();
        },
      },
    };
    await Promise.all([deliverFacts(transactor, consumer, log), deliverFacts(transactor, consumer, log)]);
    await expect.poll(() => deliveredBy(consumer, seen)).toHaveLength(2);
    expect(new Set(seen).size).toBe(2);
  });

  it('does not skip a fact whose transaction commits after that of a later one', async () => {
    const { transactor } = platform;
    const seen: string[] = [];
    const consumer = {
      name: 'late',
      handlers: {
        'suite.released': (fact: DeliveredFact<'suite.released'>) => {
          seen.push(fact.eventId);
          return Promise.resolve();
        },
      },
    };
    await deliverFacts(transactor, consumer, log);
    seen.length = 0;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let recorded: () => void = () => undefined;
    const early = new Promise<void>((resolve) => {
      recorded = resolve;
    });
    const slow = transactor.do(async (tx) => {
      const id = await tx.record('suite.released', suiteReleased);
      recorded();
      await held;
      return id;
    });
    await early;
    const fast = await transactor.do((tx) => tx.record('suite.released', suiteReleased));
    await deliverFacts(transactor, consumer, log);
    expect(seen).toEqual([]);
    release();
    const first = await slow;
    await expect.poll(() => deliveredBy(consumer, seen)).toEqual([first, fast]);
  });

  it('backs off on a failing fact, keeps what came before it, and parks it in the end', async () => {
    const { transactor } = platform;
    const name = 'poison';
    await deliverFacts(transactor, { name, handlers: {} }, log);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++)
      ids.push(await transactor.do((tx) => tx.record('suite.released', suiteReleased)));
    const seen: string[] = [];
    const consumer = {
      name,
      handlers: {
        'suite.released': (fact: DeliveredFact<'suite.released'>) => {
          if (fact.eventId === ids[1]) return Promise.reject(new Error('poison'));
          seen.push(fact.eventId);
          return Promise.resolve();
        },
      },
    };
    const tries = 30;
    for (let i = 0; i < tries && seen.length < 2; i++) {
      await transactor.read.changed('UPDATE platform.outbox_cursor SET retry_at = NULL WHERE consumer = $1', [
        name,
      ]);
      await deliveredBy(consumer, seen);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(seen).toEqual([ids[0], ids[2]]);
    const parked = await transactor.read.rows(
      'SELECT event_id FROM platform.outbox_parked WHERE consumer = $1',
      [name],
    );
    expect(parked).toEqual([{ event_id: ids[1] }]);
  });

  it('parks a fact that does not fit its schema at once, so that those behind it go on', async () => {
    const { transactor } = platform;
    const name = 'other-version';
    await deliverFacts(transactor, { name, handlers: {} }, log);
    await transactor.do((tx) =>
      tx.rows(
        `INSERT INTO platform.outbox (event_id, type, payload) VALUES ('evt_other', 'suite.released', '{}')`,
      ),
    );
    const next = await transactor.do((tx) => tx.record('suite.released', suiteReleased));
    const seen: string[] = [];
    const consumer: FactConsumer = {
      name,
      handlers: {
        'suite.released': (fact) => {
          seen.push(fact.eventId);
          return Promise.resolve();
        },
      },
    };
    await expect.poll(() => deliveredBy(consumer, seen)).toEqual([next]);
    const parked = await transactor.read.rows(
      'SELECT event_id FROM platform.outbox_parked WHERE consumer = $1',
      [name],
    );
    expect(parked).toEqual([{ event_id: 'evt_other' }]);
  });

  it('links audit entries into a chain that a changed entry breaks, and refuses changes in the table', async () => {
    const { transactor } = platform;
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        transactor.do((tx) =>
          tx.audit({ actor: 'test', action: 'test.did', subject: `s${i}`, details: { i, z: 'ä', a: [1.5] } }),
        ),
      ),
    );
    await Promise.all([sealAudit(transactor), sealAudit(transactor)]);
    await sealAudit(transactor);
    const entries = await readAudit(transactor, 0, 1_000);
    expect(entries).toHaveLength(20);
    expect(checkAuditChain(entries)).toBeNull();
    const changed = entries.map((entry) => (entry.seq === 7 ? { ...entry, details: { i: 8 } } : entry));
    expect(checkAuditChain(changed)).toBe(7);
    expect(checkAuditChain(entries.filter((entry) => entry.seq !== 7))).toBe(8);
    await expect(transactor.read.rows(`UPDATE platform.audit_entry SET actor = 'x'`)).rejects.toThrow(
      'append-only',
    );
  });

  it('elects one leader at a time and turns away the writes of an earlier one', async () => {
    const { transactor, dataSource } = platform;
    const terms: Leadership[] = [];
    const start = (holder: string) =>
      lead(
        dataSource,
        'test-leader',
        holder,
        (leadership) => {
          terms.push(leadership);
          return Promise.resolve({ close: () => Promise.resolve() });
        },
        log,
      );
    const first = start('a');
    await expect.poll(() => terms.length).toBe(1);
    const second = start('b');
    await transactor.do((tx) => requireEpoch(tx, terms[0] as Leadership));
    await first.close();
    await expect.poll(() => terms.length, { timeout: 5_000 }).toBe(2);
    expect(terms[0]?.signal.aborted).toBe(true);
    await expect(transactor.do((tx) => requireEpoch(tx, terms[0] as Leadership))).rejects.toThrow(NotLeader);
    await transactor.do((tx) => requireEpoch(tx, terms[1] as Leadership));
    await second.close();
  });
});

const echo = endpoint({
  id: 'test.echo',
  method: 'POST',
  path: '/echo/:n',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Echo',
  params: z.object({ n: z.coerce.number().int() }),
  query: z.object({ q: z.string().optional() }),
  body: z.object({ text: z.string().max(10) }),
  response: z.object({ n: z.number(), text: z.string() }),
  bodyLimitBytes: 1_000,
});
const broken = endpoint({
  id: 'test.broken',
  method: 'GET',
  path: '/broken',
  access: { kind: 'public', why: 'a test' },
  summary: 'Breaks',
  response: z.object({}),
});

@Controller()
class EchoController {
  @Endpoint(echo)
  echo(@Input() input: InputOf<typeof echo>) {
    return { n: input.params.n, text: input.body.text };
  }
  @Endpoint(broken)
  broken(): never {
    throw new Error('the password is hunter2');
  }
}
@Module({ controllers: [EchoController] })
class EchoModule {}

@Controller()
class UndeclaredController {
  @Get('/undeclared')
  get() {
    return 'x';
  }
}
@Module({ controllers: [UndeclaredController] })
class UndeclaredModule {}

describe('the HTTP edge', () => {
  let service: TestService;
  let client: ApiClient;
  const person = { kind: 'person', personId: 'per_x', name: 'x', email: 'x@x', assurance: 'local' } as const;
  beforeAll(async () => {
    service = await serviceForTest({ module: EchoModule, schemas: [] });
    client = createApiClient(service.url);
  });
  afterAll(() => service.close());

  const as = (role: 'secretariat' | 'researcher') =>
    service.tokenOf({ ...person, memberships: [{ labId: null, role }] } as never);
  const post = (body: string, headers: Record<string, string> = {}) =>
    fetch(`${service.url}/echo/1`, {
      method: 'POST',
      body,
      headers: {
        authorization: `Bearer ${as('secretariat')}`,
        'content-type': 'application/json',
        ...headers,
      },
    });

  it('answers a valid call, typed by its declaration', async () => {
    const answer = await client.as(as('secretariat')).call(echo, { params: { n: 7 }, body: { text: 'hi' } });
    expect(answer).toEqual({ n: 7, text: 'hi' });
  });

  it('names each field that does not fit', async () => {
    const response = await post('{"text": 5}');
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(await response.json()).toMatchObject({ code: 'request.invalid', issues: [{ path: 'body.text' }] });
  });

  it.each([
    ['not JSON', '{"text":', {}, 400, 'request.malformed'],
    ['too large', JSON.stringify({ text: 'x'.repeat(2_000) }), {}, 413, 'request.too-large'],
    [
      'another content type',
      'text=1',
      { 'content-type': 'text/plain' },
      415,
      'request.unsupported-media-type',
    ],
    ['no body', '', {}, 400, 'request.invalid'],
    ['null', 'null', {}, 400, 'request.invalid'],
    ['text with a NUL', '{"text":"a\\u0000"}', {}, 400, 'request.invalid'],
    ['text with half a surrogate pair', '{"text":"a\\ud800"}', {}, 400, 'request.invalid'],
  ])('refuses a body that is %s', async (_, body, headers, status, code) => {
    const response = await post(body, headers);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code });
  });

  it('asks for a login, refuses a wrong token, and refuses a role that may not', async () => {
    const call = (c: ApiClient) => c.call(echo, { params: { n: 1 }, body: { text: 'x' } });
    await expect(call(client)).rejects.toMatchObject({ problem: { code: 'auth.required', status: 401 } });
    await expect(call(client.as('nonsense'))).rejects.toMatchObject({
      problem: { code: 'auth.invalid-credentials' },
    });
    await expect(call(client.as(as('researcher')))).rejects.toMatchObject({
      problem: { code: 'auth.forbidden', status: 403 },
    });
    await expect(call(client.as(as('researcher')))).rejects.toBeInstanceOf(ProblemError);
  });

  it('keeps what broke inside and gives the request id', async () => {
    const response = await fetch(`${service.url}/broken`, { headers: { 'x-request-id': 'my-request-1' } });
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain('hunter2');
    expect(JSON.parse(text)).toMatchObject({ code: 'server.internal', instance: 'my-request-1' });
  });

  it('never answers 500 to a strange address', async () => {
    for (const path of ['/nowhere', '/echo/%E0%A4%A', '/echo/1?q=%FF', '//', '/echo/x']) {
      const response = await fetch(service.url + path);
      expect(response.status, path).toBeLessThan(500);
      expect(response.headers.get('content-type'), path).toContain('problem+json');
    }
  });

  it('documents itself, reports its health, and shows the audit log', async () => {
    const document = (await (await fetch(`${service.url}/openapi.json`)).json()) as {
      paths: Record<string, unknown>;
    };
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/echo/{n}', '/health', '/metrics', '/audit']),
    );
    expect((await fetch(`${service.url}/docs/`)).status).toBe(200);
    expect(await (await fetch(`${service.url}/health`)).json()).toMatchObject({
      status: 'ok',
      checks: { postgres: 'ok', redis: 'ok' },
    });
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    expect(metrics).toContain('beamtime_http_request_seconds_bucket');
    expect(metrics).toMatch(/^beamtime_outbox_parked_facts 0$/m);
    expect(metrics).toMatch(/^beamtime_outbox_lag_seconds \d/m);
    expect(await client.call(exportAudit, {})).toEqual({ entries: [] });
  });

  it('does not start with a route that does not declare who may call it', async () => {
    await expect(serviceForTest({ module: UndeclaredModule, schemas: [] })).rejects.toThrow(
      'without a declared endpoint',
    );
  });
});
