import { health, loginWays, type ProblemDetails, ProblemError, whoAmI } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields } from '../core/format-table.js';

export function registerStatusCommands(program: Command, io: CliIo): void {
  examples(
    program
      .command('status')
      .description('show whether the facility works, and who I am there')
      .action(async () => {
        const url = io.facilityUrl();
        const client = io.client();
        const works = await client.as(undefined).call(health, {});
        const ways = await client.as(undefined).call(loginWays, {});
        const who = await client.call(whoAmI, {}).catch(notLoggedIn);
        const login = [
          ways.oidc === null ? [] : [`institution (${ways.oidc.issuer})`],
          ways.local ? ['local'] : [],
        ].flat();
        io.show({ url, ...works, login: ways, who }, () =>
          formatFields({
            facility: url,
            state: works.status,
            version: works.version,
            parts: Object.entries(works.checks)
              .map(([name, state]) => `${name} ${state}`)
              .join(', '),
            login: login.join(', ') || 'none set up',
            'you are':
              who === null
                ? 'not logged in (beamtime login)'
                : who.kind === 'person'
                  ? `${who.name} <${who.email}>`
                  : `key ${who.keyId}`,
            documentation: `${url}/docs`,
          }),
        );
      }),
    'status',
    'status --url https://beamtime.example --json',
  );

  examples(
    program
      .command('docs')
      .description('open the documentation of the HTTP API')
      .option('--no-browser', 'only print the address')
      .action(({ browser }: { browser: boolean }) => {
        const url = `${io.facilityUrl()}/docs`;
        if (browser) io.openBrowser(url);
        io.show({ url, openapi: `${io.facilityUrl()}/openapi.json` }, () => url);
      }),
    'docs',
    'docs --no-browser',
  );
}

/** Being nobody is an answer here; any other failure is one. */
function notLoggedIn(error: unknown): null {
  const problem: ProblemDetails | undefined = error instanceof ProblemError ? error.problem : undefined;
  if (problem?.status === 401 || problem?.status === 403) return null;
  throw error;
}
