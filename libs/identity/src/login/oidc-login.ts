import { err, ok, type PersonId, type Problem, present, problem, type Result } from '@beamtime/kernel';
import { CONFIG, type Config, ConfigError, LOGGER } from '@beamtime/platform';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import * as oidc from 'openid-client';
import type { Authenticator } from 'passport';
import type { Logger } from 'pino';
import { z } from 'zod';
import { askPassport, passportWith } from './ask-passport.js';
import { LogInPerson, type ProvenIdentity } from './log-in-person.js';
import { type OidcClaims, OidcStrategy } from './oidc-strategy.js';
import { openState, sealState } from './seal-state.js';

/** A person finds the second factor within this time; afterwards the login starts anew. */
export const loginStateLifeMs = 600_000;
/** An institution that answers slower than this is down. */
const issuerTimeoutSeconds = 10;

/** What the login is for, carried through the institution's pages. */
const intentSchema = z.object({
  returnTo: z.string(),
  redirect: z.string().optional(),
  challenge: z.string().optional(),
  state: z.string().optional(),
});
export type LoginIntent = z.infer<typeof intentSchema>;
const stateSchema = z.object({ session: z.record(z.string(), z.unknown()), intent: intentSchema });

type OidcProblem = Problem<
  | 'auth.login-unavailable'
  | 'auth.invalid-credentials'
  | 'auth.email-unverified'
  | 'auth.forbidden'
  | 'server.unavailable'
>;

const unavailable = err(
  problem('auth.login-unavailable', 'No institution is set up here; OIDC_ISSUER and OIDC_CLIENT_ID name one'),
);
const startAnew = err(
  problem('auth.invalid-credentials', 'The login took too long or was not begun here; begin again'),
);

/** Login at the home institution: OpenID Connect, authorization code with PKCE, state and nonce. */
@Injectable()
export class OidcLogin implements OnModuleInit {
  private readonly secretariat: ReadonlySet<string>;
  private discovered: Promise<Authenticator> | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LogInPerson) private readonly logInPerson: LogInPerson,
    @Inject(LOGGER) private readonly log: Logger,
  ) {
    const addresses = (config.OIDC_SECRETARIAT ?? '').split(',').map((one) => one.trim().toLowerCase());
    this.secretariat = new Set(addresses.filter((one) => one !== ''));
  }

  onModuleInit(): void {
    const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId } = this.config;
    if ((issuer === undefined) !== (clientId === undefined))
      throw new ConfigError('OIDC_ISSUER and OIDC_CLIENT_ID belong together: set both or none');
    if (issuer !== undefined && !isSafeIssuer(new URL(issuer)))
      throw new ConfigError(
        'OIDC_ISSUER must be an https address, except on this machine or in its own network',
      );
  }

  /** The issuer, or null if this login is not offered. */
  get issuer(): string | null {
    return this.config.OIDC_ISSUER ?? null;
  }

  /** Where to send the browser, and the sealed state that it must bring back. */
  async begin(
    callbackUrl: string,
    intent: LoginIntent,
  ): Promise<Result<{ location: string; sealed: string }, OidcProblem>> {
    if (this.issuer === null) return unavailable;
    const session: Record<string, unknown> = {};
    const strategies = await this.strategies();
    if (!strategies.ok) return strategies;
    const verdict = await askPassport(
      strategies.value,
      'oidc',
      { method: 'GET', session, currentUrl: new URL(callbackUrl) },
      { callbackURL: callbackUrl, scope: 'openid email profile' },
    );
    if (verdict.kind !== 'redirect')
      return this.explain(verdict.kind === 'error' ? verdict.error : undefined);
    const sealed = sealState(this.config.BEAMTIME_SECRET, { session, intent }, Date.now() + loginStateLifeMs);
    return ok({ location: verdict.location, sealed });
  }

  /** Finishes the login that the browser comes back from with `search`, the query of the callback. */
  async finish(
    callbackUrl: string,
    search: string,
    sealed: string | undefined,
  ): Promise<Result<{ personId: PersonId; intent: LoginIntent }, OidcProblem>> {
    if (this.issuer === null) return unavailable;
    const state = this.open(sealed);
    const currentUrl = new URL(search, callbackUrl);
    const answered = currentUrl.searchParams.has('code') || currentUrl.searchParams.has('error');
    if (state === undefined || !answered) return startAnew;
    const { session, intent } = state;
    const strategies = await this.strategies();
    if (!strategies.ok) return strategies;
    const request = { method: 'GET', session, currentUrl };
    const verdict = await askPassport<OidcClaims>(strategies.value, 'oidc', request, {
      callbackURL: callbackUrl,
    });
    if (verdict.kind === 'refused')
      return err(
        problem(
          'auth.invalid-credentials',
          `Your institution did not log you in: ${verdict.why.slice(0, 200)}`,
        ),
      );
    if (verdict.kind !== 'in') return this.explain(verdict.kind === 'error' ? verdict.error : undefined);
    const proven = this.prove(verdict.user);
    if (!proven.ok) return proven;
    const person = await this.logInPerson.execute(proven.value);
    return person.ok ? ok({ personId: person.value, intent }) : person;
  }

  /** What a login was for, to tell of its failure where it began. */
  intentOf(sealed: string | undefined): LoginIntent | undefined {
    return this.open(sealed)?.intent;
  }

  private open(sealed: string | undefined): z.infer<typeof stateSchema> | undefined {
    return stateSchema.safeParse(openState(this.config.BEAMTIME_SECRET, sealed ?? '', Date.now())).data;
  }

  private prove(claims: OidcClaims): Result<ProvenIdentity, OidcProblem> {
    const email = z.string().trim().toLowerCase().max(254).pipe(z.email()).safeParse(claims.email);
    if (!email.success || claims.emailVerified !== true) {
      return err(
        problem(
          'auth.email-unverified',
          'Your institution does not say that your e-mail address is verified; verify it there, then log in again',
        ),
      );
    }
    return ok({
      issuer: claims.issuer,
      subject: claims.subject,
      email: email.data,
      name: claims.name?.trim().slice(0, 200) || undefined,
      secretariat: this.secretariat.has(email.data) ? 'first' : 'no',
    });
  }

  /** Discovers the issuer at the first login rather than at the start: its failure must not be ours. */
  private async strategies(): Promise<Result<Authenticator, OidcProblem>> {
    this.discovered ??= this.discover();
    try {
      return ok(await this.discovered);
    } catch (error) {
      this.discovered = undefined;
      this.log.warn({ err: error }, 'the OpenID Connect issuer cannot be discovered');
      return err(
        problem('server.unavailable', 'Your institution cannot be reached for the login now; try again soon'),
      );
    }
  }

  private async discover(): Promise<Authenticator> {
    const issuer = new URL(present(this.config.OIDC_ISSUER, 'OIDC_ISSUER'));
    const secret = this.config.OIDC_CLIENT_SECRET;
    const config = await oidc.discovery(
      issuer,
      present(this.config.OIDC_CLIENT_ID, 'OIDC_CLIENT_ID'),
      secret,
      secret === undefined ? oidc.None() : oidc.ClientSecretBasic(secret),
      {
        timeout: issuerTimeoutSeconds,
        ...(issuer.protocol === 'http:' ? { execute: [oidc.allowInsecureRequests] } : {}),
      },
    );
    return passportWith('oidc', new OidcStrategy(config));
  }

  /** The person learns that it failed, the log learns why; neither sees a code or a token. */
  private explain(error: unknown): Result<never, OidcProblem> {
    const { name, message, code } = (error ?? {}) as { name?: string; message?: string; code?: string };
    this.log.warn({ oidc: { name, code, message } }, 'a login at the institution failed');
    const down = code === 'OAUTH_TIMEOUT' || /fetch failed/.test(message ?? '');
    return down
      ? err(problem('server.unavailable', 'Your institution did not answer; try again soon'))
      : err(problem('auth.invalid-credentials', 'Your institution did not confirm the login; begin again'));
  }
}

/** Codes and tokens must not travel in the clear; a name without a dot is a neighbour in our own network. */
function isSafeIssuer({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || hostname === '[::1]' || /^127\./.test(hostname) || !hostname.includes('.');
}
