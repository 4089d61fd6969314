import { createApiClient, loginWays, logOut, type SessionWire, whoAmI } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { Credentials } from '../core/credentials.js';
import { examples } from '../core/examples.js';
import { formatFields } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { logInLocally } from './log-in-locally.js';
import { logInWithBrowser } from './log-in-with-browser.js';

interface LoginOptions {
  readonly local?: true;
  readonly name?: string;
  readonly secretariat?: true;
  readonly secretFile?: string;
  readonly browser: boolean;
  readonly printToken?: true;
}

type Who = SessionWire['who'];

export function registerLoginCommands(program: Command, io: CliIo): void {
  examples(
    program
      .command('login')
      .description('log in, at your institution or at a facility on this machine, and keep the login')
      .option('--local', 'use the local login of a facility on this machine; needs --as')
      .option('--name <name>', 'with --local: the name that others see')
      .option(
        '--secretariat',
        'with --local: also take up the secretariat, as the first person of a consortium does',
      )
      .option('--secret-file <file>', 'with --local: where local-login-secret is, if not in this folder')
      .option('--no-browser', 'only print the address to open')
      .option('--print-token', 'print the token instead of keeping it, for BEAMTIME_TOKEN')
      .action((options: LoginOptions) => logIn(io, options)),
    'login',
    'login --local --as ada@lab-a.example --name "Ada Lovelace"',
    'login --local --as sam@consortium.example --secretariat',
    'login --local --as ada@lab-a.example --print-token   # for BEAMTIME_TOKEN in scripts',
  );

  examples(
    program
      .command('logout')
      .description('end the kept login')
      .option('--everywhere', 'end my sessions on all machines')
      .action(({ everywhere }: { everywhere?: true }) => logOutHere(io, everywhere === true)),
    'logout',
    'logout --everywhere',
  );

  examples(
    program
      .command('whoami')
      .description('show whom my login or key names, and what it may do')
      .action(async () => {
        const who = await io.client().call(whoAmI, {});
        io.show(who, () => describeWho(who));
      }),
    'whoami',
    'whoami --as ada@lab-a.example',
  );
}

async function logIn(io: CliIo, options: LoginOptions): Promise<void> {
  const ways = await createApiClient(io.facilityUrl()).call(loginWays, {});
  if (options.local !== true && ways.oidc === null && !ways.local)
    throw new UsageError(`${io.facilityUrl()} offers no way to log in; its operator sets OIDC_ISSUER`);
  const local = options.local === true || ways.oidc === null;
  const session = local ? await locally(io, options) : await logInWithBrowser(io, options.browser);
  const { token, expiresAt, who } = session;
  if (options.printToken === true) {
    io.show({ token, expiresAt, who }, () => token);
    return;
  }
  const credentials = new Credentials(io.env);
  if (who.kind === 'person') credentials.keep(io.facilityUrl(), who.email, { token, expiresAt });
  io.show(
    { facility: io.facilityUrl(), who, keptIn: credentials.file },
    () => `Logged in at ${io.facilityUrl()}\n${describeWho(who)}`,
  );
}

function locally(io: CliIo, options: LoginOptions): Promise<SessionWire> {
  const email = io.shared.as;
  if (email === undefined)
    throw new UsageError('Say who you are: beamtime login --local --as you@lab.example');
  return logInLocally(io, {
    email,
    name: options.name,
    secretariat: options.secretariat === true,
    secretFile: options.secretFile,
  });
}

async function logOutHere(io: CliIo, everywhere: boolean): Promise<void> {
  const credentials = new Credentials(io.env);
  const url = io.facilityUrl();
  const login = credentials.find(url, io.shared.as);
  const client = io.client();
  await client.call(logOut, { query: { everywhere: String(everywhere) } });
  if (login !== undefined) credentials.forget(url, login.token);
  io.show({ loggedOut: true, everywhere }, () => (everywhere ? 'Logged out everywhere' : 'Logged out'));
}

export function describeWho(who: Who): string {
  if (who.kind === 'api-key')
    return formatFields({
      key: who.keyId,
      allocation: who.allocationId,
      scopes: who.scopes.join(', '),
      person: who.personId,
    });
  const roles = who.memberships.map((one) =>
    one.labSlug === null ? one.role : `${one.role} of ${one.labSlug}`,
  );
  return formatFields({
    name: who.name,
    email: who.email,
    person: who.personId,
    roles: roles.join(', ') || 'none yet',
  });
}
