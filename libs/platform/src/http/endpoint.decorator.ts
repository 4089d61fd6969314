import type { EndpointSpec } from '@beamtime/contracts';
import { invariant } from '@beamtime/kernel';
import {
  applyDecorators,
  createParamDecorator,
  type ExecutionContext,
  HttpCode,
  RequestMapping,
  RequestMethod,
  SetMetadata,
  UseInterceptors,
} from '@nestjs/common';
import type { Response } from 'express';
import type { BeamtimeRequest } from './beamtime-request.js';
import type { AgentPrincipal, ApiKeyPrincipal, PersonPrincipal, Principal } from './principal.js';
import { ValidateInput } from './validate-input.interceptor.js';

export const endpointMetadata = 'beamtime:endpoint';

/** Makes a controller method the handler of a declared endpoint: route, status, access, validation. */
export function Endpoint(spec: EndpointSpec): MethodDecorator {
  return applyDecorators(
    RequestMapping({ path: spec.path, method: RequestMethod[spec.method] }),
    HttpCode(spec.status ?? 200),
    SetMetadata(endpointMetadata, spec),
    UseInterceptors(ValidateInput),
  );
}

function stateOf(context: ExecutionContext): NonNullable<BeamtimeRequest['beamtime']> {
  const state = context.switchToHttp().getRequest<BeamtimeRequest>().beamtime;
  invariant(state !== undefined, 'the access guard did not run');
  return state;
}

/** The validated input, typed `InputOf<typeof spec>`. */
export const Input = createParamDecorator((_: unknown, context: ExecutionContext) => stateOf(context).input);

/** Whoever calls, or undefined on a public endpoint without credentials. */
export const Caller = createParamDecorator(
  (_: unknown, context: ExecutionContext): Principal | undefined => stateOf(context).principal,
);

/** The person who calls; for endpoints with access `person`. */
export const Person = createParamDecorator((_: unknown, context: ExecutionContext): PersonPrincipal => {
  const { principal } = stateOf(context);
  invariant(principal?.kind === 'person', 'the guard admits persons only');
  return principal;
});

/** The agent that calls; for endpoints with access `agent`. */
export const Agent = createParamDecorator((_: unknown, context: ExecutionContext): AgentPrincipal => {
  const { principal } = stateOf(context);
  invariant(principal?.kind === 'agent', 'the guard admits agents only');
  return principal;
});

/** The API key that calls; for endpoints with access `api-key`. */
export const Key = createParamDecorator((_: unknown, context: ExecutionContext): ApiKeyPrincipal => {
  const { principal } = stateOf(context);
  invariant(principal?.kind === 'api-key', 'the guard admits API keys only');
  return principal;
});

/** Aborted when the client goes away or the answer is sent: hand it to whatever should stop then. */
export const Gone = createParamDecorator((_: unknown, context: ExecutionContext): AbortSignal => {
  const response = context.switchToHttp().getResponse<Response>();
  const abort = new AbortController();
  response.on('close', () => abort.abort());
  return abort.signal;
});
