import { defaultBodyLimitBytes, type EndpointSpec } from '@beamtime/contracts';
import { invariant } from '@beamtime/kernel';
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { json, type Request, type Response } from 'express';
import type { Observable } from 'rxjs';
import type { z } from 'zod';
import type { BeamtimeRequest } from './beamtime-request.js';
import { ProblemException } from './problem-exception.js';

type Issue = { path: string; message: string };
/** A body with thousands of faults is answered with the first ones. */
const issuesAtMost = 20;

/**
 * Parses the JSON body (after the guard: nobody unknown makes us read a body), then checks path, query and body
 * against the endpoint's schemas.
 */
@Injectable()
export class ValidateInput implements NestInterceptor {
  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<BeamtimeRequest>();
    const response = context.switchToHttp().getResponse<Response>();
    const state = request.beamtime;
    invariant(state?.spec !== undefined, 'the access guard did not run');
    const { spec } = state;
    if (spec.body !== undefined && spec.consumes === undefined) await readJson(spec, request, response);
    const issues: Issue[] = [];
    const params = await check(spec.params, request.params, 'path', issues);
    const query = await check(spec.query, request.query, 'query', issues);
    const body =
      spec.body === undefined || spec.consumes !== undefined
        ? undefined
        : await check(spec.body, request.body as unknown, 'body', issues);
    // What a program at a cluster printed is told as far as it can be; people are asked to write it otherwise.
    if (spec.access.kind !== 'agent') {
      for (const [where, value] of Object.entries({ path: params, query, body })) {
        const found = unstorableText(value, where);
        if (found !== null) {
          issues.push({ path: found, message: 'text with a NUL or half a surrogate pair cannot be kept' });
        }
      }
    }
    if (issues.length > 0) {
      const first = issues[0];
      throw new ProblemException(
        {
          code: 'request.invalid',
          detail: `${first?.path}: ${first?.message}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''}`,
        },
        issues.slice(0, issuesAtMost),
      );
    }
    const kept = spec.access.kind === 'agent' ? storable(body) : body;
    state.input = { params: params ?? {}, query: query ?? {}, body: kept } as typeof state.input & object;
    return next.handle();
  }
}

async function readJson(spec: EndpointSpec, request: Request, response: Response): Promise<void> {
  const limitBytes = spec.bodyLimitBytes ?? defaultBodyLimitBytes;
  const type = request.headers['content-type'];
  const hasBody =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
  if (
    hasBody &&
    request.headers['content-length'] !== '0' &&
    !/^application\/([a-z.+-]+\+)?json\b/i.test(type ?? '')
  ) {
    throw new ProblemException({
      code: 'request.unsupported-media-type',
      detail: `Send the body as application/json, not ${type ?? 'without a content type'}`,
    });
  }
  await new Promise<void>((resolve, reject) => {
    json({ limit: limitBytes, strict: false, type: () => true })(request, response, (error?: unknown) => {
      if (error === undefined || error === null) {
        resolve();
        return;
      }
      const kind = (error as { type?: string }).type;
      if (kind === 'entity.too.large') {
        reject(
          new ProblemException({
            code: 'request.too-large',
            detail: `The body is larger than the ${limitBytes} bytes that this endpoint accepts`,
          }),
        );
      } else if (kind === 'request.aborted') {
        reject(new ProblemException({ code: 'request.timeout', detail: 'The body did not arrive' }));
      } else {
        reject(
          new ProblemException({
            code: 'request.malformed',
            detail: `The body is not valid JSON: ${String((error as Error).message).slice(0, 200)}`,
          }),
        );
      }
    });
  });
}

async function check(
  schema: z.ZodType | undefined,
  value: unknown,
  where: string,
  issues: Issue[],
): Promise<unknown> {
  if (schema === undefined) return undefined;
  const parsed = await schema.safeParseAsync(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    issues.push({ path: [where, ...issue.path].map(String).join('.'), message: issue.message });
  }
  return undefined;
}

/**
 * Where a value holds text that PostgreSQL cannot store (U+0000, or a surrogate without its other half), or null. Here
 * rather than in each schema, since no field of ours wants such text.
 */
function unstorableText(value: unknown, path: string): string | null {
  if (typeof value === 'string') return value === storable(value) ? null : path;
  if (typeof value !== 'object' || value === null) return null;
  for (const [key, item] of Object.entries(value)) {
    const found = unstorableText(key, `${path}.?`) ?? unstorableText(item, `${path}.${key}`);
    if (found !== null) return found;
  }
  return null;
}

/** The same value with U+FFFD for what PostgreSQL cannot store. */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('\u0000', '\ufffd').toWellFormed();
  if (Array.isArray(value)) return value.map(storable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [storable(key), storable(item)]));
}
