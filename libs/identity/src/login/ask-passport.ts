import passport, { type Authenticator } from 'passport';

/** A strategy of any package: the typings of passport and openid-client disagree on `this`. */
interface AnyStrategy {
  readonly name?: string | undefined;
  authenticate(...args: never[]): unknown;
}

/** What a strategy decided. */
export type Verdict<User> =
  | { readonly kind: 'in'; readonly user: User }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'error'; readonly error: unknown };

export function passportWith(name: string, strategy: AnyStrategy): Authenticator {
  const own = new passport.Passport() as unknown as Authenticator;
  own.use(name, strategy as Parameters<Authenticator['use']>[1]);
  return own;
}

/**
 * Asks a passport strategy about a request. Strategies see only what we hand them and answer only to us: the
 * controller alone writes to the browser, so a cookie and a redirect cannot get into each other's way.
 */
export function askPassport<User>(
  own: Authenticator,
  name: string,
  request: object,
  options: object = {},
): Promise<Verdict<User>> {
  return new Promise((resolve) => {
    const headers = new Map<string, string>();
    const response = {
      statusCode: 200,
      setHeader: (header: string, value: string) => void headers.set(header.toLowerCase(), value),
      end: () => resolve({ kind: 'redirect', location: headers.get('location') ?? '/' }),
    };
    const answer = (error: unknown, user: unknown, info: unknown): void => {
      if (error !== null && error !== undefined) resolve({ kind: 'error', error });
      else if (user === false || user === undefined || user === null)
        resolve({ kind: 'refused', why: whyOf(info) });
      else resolve({ kind: 'in', user: user as User });
    };
    const ask = own.authenticate(name, { session: false, ...options }, answer) as (
      request: object,
      response: object,
      next: (error?: unknown) => void,
    ) => void;
    ask(request, response, (error) => resolve({ kind: 'error', error }));
  });
}

function whyOf(info: unknown): string {
  if (typeof info === 'string') return info;
  const message = (info as { message?: unknown } | undefined)?.message;
  return typeof message === 'string' ? message : 'not accepted';
}
