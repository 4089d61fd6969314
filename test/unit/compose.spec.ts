import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as contracts from '@beamtime/contracts';
import { type EndpointSpec, tunnelPath } from '@beamtime/contracts';
import { configSchema } from '@beamtime/platform';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const services = ['governance', 'scheduler', 'access', 'gateway'] as const;

/** What each process serves besides its own endpoints; the edge shows some of it, or one service's for all. */
const ofEveryService = new Set(['facility.health', 'facility.metrics', 'audit.export']);

// ---------------------------------------------------------------- the edge

interface Route {
  readonly matcher: string;
  readonly path: RegExp;
  readonly service: string;
}

/** The Caddyfile's routes to services, in their order: `@name path_regexp …` and `reverse_proxy @name service:port`. */
function routesOf(caddyfile: string): Route[] {
  const matchers = new Map(
    [...caddyfile.matchAll(/^\s*@(\S+) path_regexp (\^\S+)$/gm)].map(([, name = '', regexp = '']) => [
      name,
      new RegExp(regexp),
    ]),
  );
  return [...caddyfile.matchAll(/^\s*reverse_proxy @(\S+) (\w+):8420 \{$/gm)].map(
    ([, matcher = '', service = '']) => {
      const path = matchers.get(matcher);
      if (path === undefined) throw new Error(`the Caddyfile has no path_regexp of one line for @${matcher}`);
      return { matcher, path, service };
    },
  );
}

const routes = routesOf(read('infra/compose/Caddyfile'));
const routeOf = (path: string) => routes.find((route) => route.path.test(path));

/** A path as a client asks for it: each parameter filled in, of more than one segment where that may be. */
const filled = (path: string) =>
  path.replace(/:[A-Za-z]+/g, 'some-id_01').replace(/\*[A-Za-z]+/g, 'folder/file.json');

// ---------------------------------------------------------------- what the services handle

const isEndpoint = (value: unknown): value is EndpointSpec =>
  typeof value === 'object' && value !== null && 'path' in value && 'method' in value && 'access' in value;
const endpoints = new Map(Object.entries(contracts).filter(([, value]) => isEndpoint(value))) as Map<
  string,
  EndpointSpec
>;

/** The endpoints that a service's controllers name: `@Endpoint(openRound)`, also when imported under another name. */
function endpointsOf(service: string): EndpointSpec[] {
  const folder = join('apps', service, 'src');
  const controllers = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('spec.ts'),
  );
  return controllers.flatMap((file) => {
    const text = read(join(folder, file));
    return [...text.matchAll(/@Endpoint\((\w+)\)/g)].map(([, name = '']) => {
      const spec = endpoints.get(new RegExp(`(\\w+) as ${name}\\b`).exec(text)?.[1] ?? name);
      if (spec === undefined) throw new Error(`${file}: ${name} is no endpoint of @beamtime/contracts`);
      return spec;
    });
  });
}

describe('the edge', () => {
  it.each(services)('sends every endpoint of %s to it', (service) => {
    const specs = endpointsOf(service);
    expect(specs.length).toBeGreaterThan(0);
    const lost = specs
      .map(({ method, path }) => ({ method, path, to: routeOf(filled(path))?.service ?? 'nobody' }))
      .filter(({ to }) => to !== service);
    expect(lost, `endpoints that the Caddyfile does not send to ${service}`).toEqual([]);
  });

  it("sends the agents' connections for served models to the gateway", () => {
    expect(routeOf(tunnelPath)?.service).toBe('gateway');
  });

  it('needs each of its routes', () => {
    const paths = [...endpoints.values()].map(({ path }) => filled(path)).concat(tunnelPath, '/docs');
    const used = new Set(paths.map((path) => routeOf(path)?.matcher));
    expect(routes.map(({ matcher }) => matcher).filter((matcher) => !used.has(matcher))).toEqual([]);
  });

  it('keeps metrics inside', () => {
    expect(routeOf('/metrics')).toBeUndefined();
  });

  it('finds a declared endpoint that no service handles', () => {
    const handled = new Set(services.flatMap((service) => endpointsOf(service).map(({ id }) => id)));
    const orphans = [...endpoints.values()].map(({ id }) => id).filter((id) => !handled.has(id));
    expect(orphans.filter((id) => !ofEveryService.has(id))).toEqual([]);
  });
});

// ---------------------------------------------------------------- docker-compose.yml

const composeSchema = z.object({
  services: z.record(
    z.string(),
    z.object({
      image: z.string(),
      build: z.object({ dockerfile: z.string() }).optional(),
      command: z.array(z.string()).optional(),
      environment: z.record(z.string(), z.string()).optional(),
      ports: z.array(z.string()).optional(),
      volumes: z.array(z.string()).optional(),
      profiles: z.array(z.string()).optional(),
      restart: z.string(),
      privileged: z.literal(false).optional(),
      healthcheck: z.object({ test: z.array(z.string()).optional() }).optional(),
      depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
    }),
  ),
  volumes: z.record(z.string(), z.unknown()),
});
const compose = composeSchema.parse(parse(read('docker-compose.yml'), { merge: true }));
const serviceOf = (name: string) => {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`);
  return found;
};

describe('docker-compose.yml', () => {
  it('runs each service from the program that it names', () => {
    for (const name of services) {
      const program = serviceOf(name).command?.[1] ?? '';
      expect(program).toBe(`apps/${name}/dist/main.js`);
      expect(existsSync(join(root, program.replace('/dist/', '/src/').replace(/js$/, 'ts')))).toBe(true);
    }
  });

  it('sets only settings that the services know, and all that they must have', () => {
    const known = Object.keys(configSchema.shape);
    const required = known.filter(
      (key) => !configSchema.shape[key as keyof typeof configSchema.shape].isOptional(),
    );
    // What the apiKeyEnv of an upstream may name.
    const named = ['BEAMTIME_UPSTREAM_KEY'];
    for (const name of services) {
      const given = Object.keys(serviceOf(name).environment ?? {});
      expect(given.filter((key) => ![...known, ...named].includes(key))).toEqual([]);
      expect(required.filter((key) => !given.includes(key))).toEqual([]);
    }
  });

  it('gives the services the same port that the edge sends to', () => {
    for (const name of services) expect(serviceOf(name).environment?.['PORT']).toBe('8420');
    for (const { service } of routes) expect(Object.keys(compose.services)).toContain(service);
  });

  it('lets people in by the edge alone', () => {
    const open = Object.entries(compose.services).filter(([, { ports }]) => ports !== undefined);
    expect(open.map(([name]) => name)).toEqual(['edge']);
    for (const port of serviceOf('edge').ports ?? []) expect(port).toMatch(/^\$\{EDGE_BIND:-127\.0\.0\.1\}:/);
  });

  it('holds no secret', () => {
    for (const { environment = {}, command = [] } of Object.values(compose.services)) {
      for (const [key, value] of Object.entries(environment))
        if (/SECRET(_|$)|PASSWORD|_KEY$/.test(key))
          expect(value, key).toMatch(/^\$\{\w+:-\}$|^\$\{S3_ACCESS_KEY_ID/);
      expect(command.filter((word) => /password|secret/i.test(word) && !/^\$\{|^--/.test(word))).toEqual([]);
    }
  });

  it('checks the health of what others wait for', () => {
    for (const [name, { depends_on: needs = {} }] of Object.entries(compose.services))
      for (const [needed, { condition }] of Object.entries(needs))
        if (condition === 'service_healthy')
          expect(serviceOf(needed).healthcheck?.test, `${name} waits for ${needed}`).toBeDefined();
  });

  it('mounts and builds only what is in the repository or a declared volume', () => {
    for (const { volumes = [], build } of Object.values(compose.services)) {
      for (const volume of volumes) {
        const [source = ''] = volume.split(':');
        if (source.startsWith('./')) expect(existsSync(join(root, source)), source).toBe(true);
        else expect(Object.keys(compose.volumes)).toContain(source);
      }
      if (build !== undefined) expect(existsSync(join(root, build.dockerfile)), build.dockerfile).toBe(true);
    }
  });

  it('asks for no variable that the example leaves out, unless it has a default', () => {
    const example = [...read('infra/compose/example.env').matchAll(/^([A-Z0-9_]+)=/gm)].map(
      ([, name]) => name,
    );
    const withoutDefault = [...read('docker-compose.yml').matchAll(/\$\{([A-Z0-9_]+)(?::-)?\}/g)].map(
      ([, name]) => name,
    );
    expect(
      withoutDefault.filter((name) => !example.includes(name) && name !== 'BEAMTIME_GATEWAY_URLS'),
    ).toEqual([]);
  });
});
