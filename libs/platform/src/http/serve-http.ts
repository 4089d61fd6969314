import { once } from 'node:events';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import type { EndpointSpec } from '@beamtime/contracts';
import { type DynamicModule, type INestApplication, type Type } from '@nestjs/common';

import { DiscoveryService, MetadataScanner, NestFactory, Reflector } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import express, { type Request, type Response } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { handleLocalObjectRequest } from '../object-store/handle-local-object-request.js';
import { objectsPath } from '../object-store/local-object-urls.js';
import type { ObjectStore } from '../object-store/object-store.js';
import { isLocalObjectStore, OBJECT_STORE } from '../object-store/open-object-store.js';
import { LOGGER } from '../observability/logger.js';
import { Metrics } from '../observability/metrics.js';
import { endpointMetadata } from './endpoint.decorator.js';
import { nestLogger } from './nest-logger.js';
import { openApiDocument } from './open-api.js';
import { requestLog } from './request-log.js';

export interface HttpService {
  readonly app: INestApplication;
  readonly url: string;
  readonly specs: readonly EndpointSpec[];
  close(): Promise<void>;
}

export interface ServeOptions {
  readonly title: string;
  readonly version: string;
  readonly host: string;
  readonly port: number;
  /** Handlers outside Nest (local objects, static files), mounted before the routes. */
  readonly mount?: (app: NestExpressApplication) => void;
}

/** A client that stalls in its headers or body is cut off. */
const requestTimeoutMs = 120_000;

/**
 * How long a connection may idle between requests: longer than clients and proxies keep theirs (60 s is usual), so that
 * it is they who close. Node's 5 s lose requests: a busy client sends on a connection that is just being closed.
 */
const keepAliveMs = 75_000;

/**
 * How many connections may wait to be taken (the system may allow fewer). Past Node's 511 connections that come at the
 * same moment, as at the close of a vote, are reset.
 */
const backlog = 4_096;

/** Starts a service's HTTP server with logging, docs and graceful shutdown. Port 0 takes a free one. */
export async function serveHttp(root: Type | DynamicModule, options: ServeOptions): Promise<HttpService> {
  const app = await NestFactory.create<NestExpressApplication>(root, {
    bodyParser: false,
    logger: false,
    abortOnError: false,
  });
  const log = app.get<Logger>(LOGGER);
  app.useLogger(nestLogger(log));
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use(requestLog(log, app.get(Metrics)));
  app.use(
    helmet({
      contentSecurityPolicy: { directives: { 'script-src': ["'self'"], 'upgrade-insecure-requests': null } },
      strictTransportSecurity: false,
    }),
  );
  const specs = declaredEndpoints(app);
  mountDocs(app, specs, options);
  mountLocalObjects(app);
  options.mount?.(app);
  const server = app.getHttpServer() as Server;
  try {
    await app.init();
    server.listen({ port: options.port, host: options.host, backlog });
    await once(server, 'listening');
  } catch (error) {
    // What has started already must end before the servers below it do.
    await app.close();
    throw error;
  }
  server.requestTimeout = requestTimeoutMs;
  server.keepAliveTimeout = keepAliveMs;
  const { port } = server.address() as AddressInfo;
  const url = `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`;
  log.info({ url }, `${options.title} is listening`);
  return {
    app,
    url,
    specs,
    close: async () => {
      server.closeIdleConnections();
      const closed = app.close();
      setTimeout(() => server.closeAllConnections(), 2_000).unref();
      await closed;
    },
  };
}

/** Every endpoint that a controller handles; throws when a route does not declare one, or two share an id. */
export function declaredEndpoints(app: INestApplication): EndpointSpec[] {
  const reflector = app.get(Reflector);
  const scanner = new MetadataScanner();
  const specs = new Map<string, EndpointSpec>();
  for (const wrapper of app.get(DiscoveryService).getControllers()) {
    const prototype = wrapper.metatype?.prototype as Record<string, unknown> | undefined;
    if (prototype === undefined || prototype === null) continue;
    for (const name of scanner.getAllMethodNames(prototype)) {
      const handler = prototype[name] as () => unknown;
      if (Reflect.getMetadata('path', handler) === undefined) continue;
      const spec = reflector.get<EndpointSpec | undefined>(endpointMetadata, handler);
      if (spec === undefined)
        throw new Error(`${wrapper.name}.${name} is a route without a declared endpoint`);
      if (specs.has(spec.id)) throw new Error(`two handlers for endpoint ${spec.id}`);
      specs.set(spec.id, spec);
    }
  }
  return [...specs.values()];
}

/** Serves the URLs that the local object store signs; with S3 there is nothing to serve. */
function mountLocalObjects(app: NestExpressApplication): void {
  const store = app.get<ObjectStore>(OBJECT_STORE);
  if (!isLocalObjectStore(store)) return;
  app.use((request: Request, response: Response, next: (error?: unknown) => void) => {
    if (!request.path.startsWith(objectsPath)) {
      next();
      return;
    }
    handleLocalObjectRequest(store, request, response).catch(next);
  });
}

function mountDocs(app: NestExpressApplication, specs: readonly EndpointSpec[], options: ServeOptions): void {
  const document = JSON.stringify(openApiDocument(specs, options.title, options.version));
  const swaggerUi = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  app.use('/openapi.json', (_: Request, response: Response) => {
    response.type('application/json').send(document);
  });
  app.use('/docs/swagger-initializer.js', (_: Request, response: Response) => {
    response
      .type('text/javascript')
      .send(
        `window.onload = () => { window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout', tagsSorter: 'alpha' }); };`,
      );
  });
  app.use('/docs', express.static(swaggerUi, { index: 'index.html' }));
}
