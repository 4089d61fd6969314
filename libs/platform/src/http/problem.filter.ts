import { type ProblemCode, type ProblemDetails, problemCodes } from '@beamtime/contracts';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Inject } from '@nestjs/common';
import type { Response } from 'express';
import type { Logger } from 'pino';
import { isConnectionLost } from '../database/is-connection-lost.js';
import { LOGGER, requestContext } from '../observability/logger.js';
import type { BeamtimeRequest } from './beamtime-request.js';
import { ProblemException } from './problem-exception.js';

/** Sends every error as RFC 9457 problem details, or in OpenAI's shape under `/v1`; internals stay in the log. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<BeamtimeRequest>();
    const response = host.switchToHttp().getResponse<Response>();
    const details = problemDetails(error);
    if (details.status >= 500 && details.code === 'server.internal') {
      this.log.error({ err: error, method: request.method, url: request.originalUrl }, 'request failed');
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.status(details.status);
    if (details.status === 503 || details.status === 429) response.setHeader('retry-after', '2');
    // A body that nobody has read (refused before parsing) must not be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    if (isOpenAiRoute(request.path)) {
      response.json(openAiError(details));
      return;
    }
    response.type('application/problem+json').send(JSON.stringify(details));
  }
}

/** Routes that speak OpenAI's protocol, with and without a model in the path. */
export function isOpenAiRoute(path: string): boolean {
  return /^(\/m\/[^/]+)?\/v1(\/|$)/.test(path);
}

export function problemDetails(error: unknown): ProblemDetails {
  const instance = requestContext.getStore()?.requestId;
  const base = (code: ProblemCode, detail: string): ProblemDetails => ({
    type: `https://beamtime.example/problems/${code}`,
    title: problemCodes[code].title,
    status: problemCodes[code].status,
    code,
    detail,
    ...(instance === undefined ? {} : { instance }),
  });
  if (error instanceof ProblemException) {
    return {
      ...base(error.problem.code, error.problem.detail),
      ...(error.problem.facts === undefined ? {} : { facts: { ...error.problem.facts } }),
      ...(error.issues === undefined ? {} : { issues: [...error.issues] }),
    };
  }
  if (error instanceof HttpException) {
    const status = error.getStatus();
    if (status === 404) return base('request.not-found', 'No such route; /docs lists them all');
    if (status === 413) return base('request.too-large', 'The body is too large');
    if (status < 500) return { ...base('request.invalid', error.message), status };
  }
  const thrown = error as { type?: string; status?: number } | null;
  if (error instanceof URIError || thrown?.status === 400) {
    return base('request.invalid', 'The address of the request cannot be decoded');
  }
  if (isConnectionLost(error))
    return base('server.unavailable', 'The database cannot be reached now; try again');
  return base(
    'server.internal',
    'The facility failed on this request; quote the instance id to its operators',
  );
}

function openAiError(details: ProblemDetails): object {
  const type =
    details.status === 401
      ? 'authentication_error'
      : details.status === 403
        ? 'permission_error'
        : details.status === 402 || details.status === 429
          ? 'insufficient_quota'
          : details.status < 500
            ? 'invalid_request_error'
            : 'server_error';
  return {
    error: { message: details.detail, type, param: details.issues?.[0]?.path ?? null, code: details.code },
  };
}
