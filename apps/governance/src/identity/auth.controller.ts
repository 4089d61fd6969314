import {
  exchangeLoginCode,
  finishOidcLogin,
  type InputOf,
  localLogin,
  loginWays,
  logOut,
  type ResponseOf,
  startOidcLogin,
  whoAmI,
} from '@beamtime/contracts';
import {
  Directory,
  EndSession,
  LocalLogin,
  LoginCodes,
  loginStateLifeMs,
  OidcLogin,
  OpenSession,
} from '@beamtime/identity';
import { type PersonId, present } from '@beamtime/kernel';
import {
  Caller,
  CONFIG,
  type Config,
  credentialOf,
  deny,
  Endpoint,
  Input,
  Person,
  type PersonPrincipal,
  type Principal,
  sessionCookie,
  unwrap,
} from '@beamtime/platform';
import { Controller, Inject, Req, Res } from '@nestjs/common';
import { parse } from 'cookie';
import type { CookieOptions, Request, Response } from 'express';
import { answerFailedLogin } from './answer-failed-login.js';

/** Carries the sealed state of a login through the institution's pages. */
const loginCookie = 'beamtime_login';
const loginCookiePath = '/auth/oidc';

/** Logging in and out, and who I am. */
@Controller()
export class AuthController {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(Directory) private readonly directory: Directory,
    @Inject(LocalLogin) private readonly local: LocalLogin,
    @Inject(OidcLogin) private readonly oidc: OidcLogin,
    @Inject(OpenSession) private readonly openSession: OpenSession,
    @Inject(EndSession) private readonly endSession: EndSession,
    @Inject(LoginCodes) private readonly loginCodes: LoginCodes,
  ) {}

  @Endpoint(loginWays)
  ways(): ResponseOf<typeof loginWays> {
    const { issuer } = this.oidc;
    return { oidc: issuer === null ? null : { issuer }, local: this.local.offered };
  }

  @Endpoint(localLogin)
  async logInLocally(
    @Input() { body }: InputOf<typeof localLogin>,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof localLogin>> {
    const personId = unwrap(await this.local.execute(body, request.ip ?? 'unknown'));
    const session = await this.sessionOf(personId, 'local', response);
    if (body.keepIn === 'cookie') this.setSessionCookie(request, response, session.token, session.expiresAt);
    return session;
  }

  @Endpoint(startOidcLogin)
  async startOidc(
    @Input() { query }: InputOf<typeof startOidcLogin>,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const begun = unwrap(await this.oidc.begin(this.callbackUrl(request), query));
    response.cookie(loginCookie, begun.sealed, {
      ...this.cookieOptions(request),
      path: loginCookiePath,
      maxAge: loginStateLifeMs,
    });
    noStore(response).redirect(302, begun.location);
  }

  @Endpoint(finishOidcLogin)
  async finishOidc(@Req() request: Request, @Res() response: Response): Promise<void> {
    const sealed = parse(request.headers.cookie ?? '')[loginCookie];
    response.clearCookie(loginCookie, { ...this.cookieOptions(request), path: loginCookiePath });
    const search = new URL(request.originalUrl, 'http://any').search;
    const finished = await this.oidc.finish(this.callbackUrl(request), search, sealed);
    if (!finished.ok) {
      answerFailedLogin(request, noStore(response), finished.error, this.oidc.intentOf(sealed));
      return;
    }
    const { personId, intent } = finished.value;
    if (intent.redirect !== undefined) {
      const back = new URL(intent.redirect);
      const challenge = present(intent.challenge, 'the contract keeps redirect and challenge together');
      back.searchParams.set('code', await this.loginCodes.issue(personId, challenge));
      if (intent.state !== undefined) back.searchParams.set('state', intent.state);
      noStore(response).redirect(302, back.href);
      return;
    }
    const { token, expiresAt } = await this.openSession.execute(personId, 'oidc');
    this.setSessionCookie(request, response, token, expiresAt.toISOString());
    noStore(response).redirect(302, intent.returnTo);
  }

  @Endpoint(exchangeLoginCode)
  async exchange(
    @Input() { body }: InputOf<typeof exchangeLoginCode>,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof exchangeLoginCode>> {
    const personId = unwrap(await this.loginCodes.redeem(body.code, body.verifier));
    return this.sessionOf(personId, 'oidc', response);
  }

  @Endpoint(logOut)
  async logOut(
    @Input() { query }: InputOf<typeof logOut>,
    @Person() caller: PersonPrincipal,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<void> {
    const { bearer, session } = credentialOf(request);
    await this.endSession.execute(caller.personId, bearer ?? session ?? '', query.everywhere);
    response.clearCookie(sessionCookie, this.cookieOptions(request));
  }

  @Endpoint(whoAmI)
  async whoAmI(@Caller() caller: Principal): Promise<ResponseOf<typeof whoAmI>> {
    if (caller.kind === 'agent') deny('auth.forbidden', 'Agents may not do this');
    if (caller.kind === 'api-key') return { ...caller, scopes: [...caller.scopes] };
    return this.whoIs(caller.personId, caller.assurance);
  }

  private async whoIs(
    personId: PersonId,
    assurance: PersonPrincipal['assurance'],
  ): Promise<ResponseOf<typeof whoAmI>> {
    const { name, email, memberships } = present(await this.directory.person(personId), 'the caller');
    return { kind: 'person', personId, name, email, assurance, memberships: [...memberships] };
  }

  private async sessionOf(personId: PersonId, assurance: PersonPrincipal['assurance'], response: Response) {
    noStore(response);
    const { token, expiresAt } = await this.openSession.execute(personId, assurance);
    return { token, expiresAt: expiresAt.toISOString(), who: await this.whoIs(personId, assurance) };
  }

  private setSessionCookie(request: Request, response: Response, token: string, expiresAt: string): void {
    response.cookie(sessionCookie, token, { ...this.cookieOptions(request), expires: new Date(expiresAt) });
  }

  private publicUrl(request: Request): string {
    return this.config.BEAMTIME_PUBLIC_URL ?? `http://${request.headers.host ?? 'localhost'}`;
  }

  private callbackUrl(request: Request): string {
    return `${this.publicUrl(request).replace(/\/$/, '')}${finishOidcLogin.path}`;
  }

  private cookieOptions(request: Request): CookieOptions {
    return {
      httpOnly: true,
      sameSite: 'lax',
      secure: this.publicUrl(request).startsWith('https:'),
      path: '/',
    };
  }
}

/** Answers with tokens and codes are for one reader, once. */
function noStore(response: Response): Response {
  return response.setHeader('cache-control', 'no-store');
}
