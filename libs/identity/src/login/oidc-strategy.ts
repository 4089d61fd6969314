import * as oidc from 'openid-client';
import { type AuthenticateOptions, Strategy } from 'openid-client/passport';

/** What an institution says about a person. */
export interface OidcClaims {
  readonly issuer: string;
  readonly subject: string;
  readonly email: string | undefined;
  readonly emailVerified: boolean | undefined;
  readonly name: string | undefined;
}

/** openid-client's passport strategy, with state and nonce also where PKCE alone would do, and no guess at our address. */
export class OidcStrategy extends Strategy {
  constructor(config: oidc.Configuration) {
    super({ config, name: 'oidc' }, (tokens, verified) => {
      claimsOf(config, tokens).then(
        (claims) => verified(null, claims),
        (error: unknown) => verified(error),
      );
    });
  }

  override authorizationRequestParams<Options extends AuthenticateOptions>(
    request: Parameters<Strategy['authorizationRequestParams']>[0],
    options: Options,
  ): URLSearchParams {
    const params = new URLSearchParams(super.authorizationRequestParams(request, options));
    params.set('state', oidc.randomState());
    params.set('nonce', oidc.randomNonce());
    return params;
  }

  /** The address that we are known by, not the one that a proxy calls us by. */
  override currentUrl(request: Parameters<Strategy['currentUrl']>[0]): URL {
    return (request as unknown as { readonly currentUrl: URL }).currentUrl;
  }
}

async function claimsOf(
  config: oidc.Configuration,
  tokens: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
): Promise<OidcClaims> {
  const claims = tokens.claims();
  if (claims === undefined) throw new Error('the institution sent no ID token');
  // Many institutions keep the address out of the ID token and tell it when asked.
  const told =
    claims['email_verified'] !== undefined || config.serverMetadata().userinfo_endpoint === undefined
      ? {}
      : await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
  const all: Record<string, unknown> = { ...claims, ...told };
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  return {
    issuer: claims.iss,
    subject: claims.sub,
    email: text(all['email']),
    emailVerified: all['email_verified'] === true,
    name: text(all['name']),
  };
}
