import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createApiClient,
  exchangeLoginCode,
  type SessionWire,
  startOidcLogin,
  urlOf,
} from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { CheckFailed, LoginRefused } from '../core/usage-error.js';

/** As long as the facility itself keeps a begun login. */
const patienceMs = 600_000;
const page = (text: string) =>
  `<!doctype html><meta charset="utf-8"><title>Beamtime</title><body style="font:1.2rem sans-serif;margin:4rem">${text}`;

/**
 * Sends the person's browser through the login of their institution and waits at a loopback address for the code
 * that it ends with. The verifier never leaves this process, so the code is of use to nobody else.
 */
export async function logInWithBrowser(io: CliIo, openBrowser: boolean): Promise<SessionWire> {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(16).toString('base64url');
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  try {
    const { port } = server.address() as AddressInfo;
    const url = urlOf(io.facilityUrl(), startOidcLogin, {
      query: {
        redirect: `http://127.0.0.1:${port}/callback`,
        challenge: createHash('sha256').update(verifier).digest('base64url'),
        state,
      },
    });
    io.urge(`Log in at your institution in the browser:\n  ${url}`);
    if (openBrowser) io.openBrowser(url);
    const code = await codeFrom(server, state);
    return await createApiClient(io.facilityUrl()).call(exchangeLoginCode, { body: { code, verifier } });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

function codeFrom(server: Server, state: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CheckFailed('Nobody logged in within ten minutes; run `beamtime login` again')),
      patienceMs,
    );
    server.on('request', (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://loopback');
      const [code, error] = [searchParams.get('code'), searchParams.get('error_description')];
      // Other pages in the browser can call this port too; only our own login knows the state.
      const ours = pathname === '/callback' && searchParams.get('state') === state;
      response.writeHead(ours ? 200 : 404, {
        'content-type': 'text/html; charset=utf-8',
        connection: 'close',
      });
      response.end(
        page(
          ours
            ? `${code === null ? 'The login failed' : 'You are logged in'}. This page can be closed.`
            : 'There is nothing here.',
        ),
      );
      if (!ours) return;
      clearTimeout(timer);
      response.on('close', () => {
        if (code === null) reject(new LoginRefused(error ?? 'The institution did not log you in'));
        else resolve(code);
      });
    });
  });
}
