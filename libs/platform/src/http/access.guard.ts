import type { Access, EndpointSpec, Role } from '@beamtime/contracts';
import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { parse } from 'cookie';
import type { Request } from 'express';
import type { BeamtimeRequest } from './beamtime-request.js';
import { endpointMetadata } from './endpoint.decorator.js';
import {
  AUTHENTICATOR,
  type Authenticator,
  type Credential,
  type Principal,
  sessionCookie,
} from './principal.js';
import { deny } from './problem-exception.js';

/** Lets a request through if the endpoint's declared access admits its caller. No declaration: nobody. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(AUTHENTICATOR) private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const spec = this.reflector.get<EndpointSpec | undefined>(endpointMetadata, context.getHandler());
    if (spec === undefined) deny('auth.forbidden', 'This route does not declare who may call it');
    const request = context.switchToHttp().getRequest<BeamtimeRequest>();
    const credential = credentialOf(request);
    const given = credential.bearer !== undefined || credential.session !== undefined;
    const principal = given ? await this.authenticator.authenticate(credential) : null;
    if (principal === null && credential.bearer !== undefined) {
      deny(
        'auth.invalid-credentials',
        'The token or key is unknown, expired or revoked; log in again (`beamtime login`) or use another key',
      );
    }
    admit(spec.access, principal);
    request.beamtime = principal === null ? { spec } : { spec, principal };
    return true;
  }
}

/** Methods that change nothing: the only ones a cookie from another origin may trigger. */
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

export function credentialOf(request: Request): Credential {
  const header = request.headers.authorization;
  const bearer =
    header !== undefined && /^bearer /i.test(header)
      ? header.slice(7).trim()
      : passwordOf(header, request.path);
  const cookies = request.headers.cookie === undefined ? {} : parse(request.headers.cookie);
  // A cookie is sent by the browser without being asked: for changes it only counts from our own pages.
  const foreign = !safeMethods.has(request.method) && request.headers['sec-fetch-site'] !== 'same-origin';
  return { bearer, session: foreign ? undefined : cookies[sessionCookie] };
}

/**
 * Clients of GA4GH services know basic authentication too: the password is the token, the name does not matter. Only
 * there, since a browser would send it again without being asked.
 */
function passwordOf(header: string | undefined, path: string): string | undefined {
  if (header === undefined || !/^basic /i.test(header) || !path.startsWith('/ga4gh/')) return undefined;
  const [, ...password] = Buffer.from(header.slice(6), 'base64').toString('utf8').split(':');
  return password.length === 0 ? undefined : password.join(':');
}

/** Throws the right problem unless this principal is admitted. */
export function admit(access: Access, principal: Principal | null): void {
  if (access.kind === 'public') return;
  if (principal === null)
    deny('auth.required', 'Log in (`beamtime login`) or send an API key as a bearer token');
  switch (access.kind) {
    case 'person':
      if (principal.kind !== 'person') deny('auth.forbidden', 'Only a logged-in person may do this');
      if (access.roles !== undefined && !holdsOneOf(principal, access.roles)) {
        deny('auth.forbidden', `This needs one of the roles ${access.roles.join(', ')}`);
      }
      return;
    case 'agent':
      if (principal.kind !== 'agent') deny('auth.forbidden', 'Only the agent of a cluster may do this');
      return;
    case 'api-key':
      if (principal.kind !== 'api-key') deny('auth.forbidden', 'Use an API key of an allocation');
      if (access.scope !== undefined && !principal.scopes.includes(access.scope)) {
        deny('auth.scope-missing', `This key does not carry the scope ${access.scope}`);
      }
      return;
    case 'person-or-api-key':
      if (principal.kind === 'agent') deny('auth.forbidden', 'Agents may not do this');
      if (
        principal.kind === 'api-key' &&
        access.scope !== undefined &&
        !principal.scopes.includes(access.scope)
      ) {
        deny('auth.scope-missing', `This key does not carry the scope ${access.scope}`);
      }
      return;
  }
}

function holdsOneOf(principal: Principal, roles: readonly Role[]): boolean {
  return principal.kind === 'person' && principal.memberships.some((m) => roles.includes(m.role));
}
