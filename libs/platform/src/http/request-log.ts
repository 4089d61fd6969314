import { randomUUID } from 'node:crypto';
import type { NextFunction, Response } from 'express';
import type { Logger } from 'pino';
import { requestContext } from '../observability/logger.js';
import type { Metrics } from '../observability/metrics.js';
import type { BeamtimeRequest } from './beamtime-request.js';

const requestIdPattern = /^[A-Za-z0-9._-]{8,64}$/;

/** Gives each request an id (the caller's own if it sent a sound one), logs its end, and measures it. */
export function requestLog(log: Logger, metrics: Metrics) {
  return (request: BeamtimeRequest, response: Response, next: NextFunction): void => {
    const sent = request.headers['x-request-id'];
    const requestId = typeof sent === 'string' && requestIdPattern.test(sent) ? sent : randomUUID();
    response.setHeader('x-request-id', requestId);
    const startedNs = process.hrtime.bigint();
    response.on('close', () => {
      const seconds = Number(process.hrtime.bigint() - startedNs) / 1e9;
      const endpoint = request.beamtime?.spec?.id ?? 'other';
      metrics.httpSeconds.observe({ endpoint, status: String(response.statusCode) }, seconds);
      const level = response.statusCode >= 500 ? 'warn' : 'debug';
      const { principal } = request.beamtime ?? {};
      log[level](
        {
          requestId,
          method: request.method,
          path: request.path,
          endpoint,
          status: response.statusCode,
          ms: Math.round(seconds * 1000),
          caller: principal?.kind === 'agent' ? principal.clusterId : principal?.personId,
        },
        'request',
      );
    });
    requestContext.run({ requestId }, next);
  };
}
