import { AUTHENTICATOR } from '@beamtime/platform';
import { Global, Module } from '@nestjs/common';
import { IdentityAuthenticator } from './authenticate.js';
import { Directory } from './directory.js';
import { CreateAgentKey } from './keys/create-agent-key.js';
import { CreateApiKey } from './keys/create-api-key.js';
import { ListApiKeys } from './keys/list-api-keys.js';
import { RevokeApiKey } from './keys/revoke-api-key.js';
import { ChangeLab } from './labs/change-lab.js';
import { CreateLab } from './labs/create-lab.js';
import { LocalLogin } from './login/local-login.js';
import { LogInPerson } from './login/log-in-person.js';
import { OidcLogin } from './login/oidc-login.js';
import { GrantMembership } from './members/grant-membership.js';
import { RevokeMembership } from './members/revoke-membership.js';
import { SuspendPerson } from './people/suspend-person.js';
import { EndSession } from './sessions/end-session.js';
import { LoginCodes } from './sessions/login-codes.js';
import { OpenSession } from './sessions/open-session.js';

const useCases = [
  Directory,
  CreateLab,
  ChangeLab,
  GrantMembership,
  RevokeMembership,
  SuspendPerson,
  CreateApiKey,
  CreateAgentKey,
  ListApiKeys,
  RevokeApiKey,
];

/** Who calls: every service imports this one once, beside PlatformModule. */
@Global()
@Module({
  providers: [
    IdentityAuthenticator,
    { provide: AUTHENTICATOR, useExisting: IdentityAuthenticator },
    ...useCases,
  ],
  exports: [AUTHENTICATOR, ...useCases],
})
export class IdentityModule {}

/** Ways of logging in: only the service that offers them imports it, since it keeps the installation's secret. */
@Module({
  providers: [LogInPerson, LocalLogin, OidcLogin, OpenSession, EndSession, LoginCodes],
  exports: [LocalLogin, OidcLogin, OpenSession, EndSession, LoginCodes, LogInPerson],
})
export class LoginModule {}
