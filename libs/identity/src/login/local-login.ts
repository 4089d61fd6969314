import { err, type PersonId, type Problem, problem, type Result } from '@beamtime/kernel';
import { CONFIG, type Config, LOGGER } from '@beamtime/platform';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { type Authenticator, Strategy } from 'passport';
import type { Logger } from 'pino';
import { askPassport, passportWith } from './ask-passport.js';
import { LogInPerson, localIssuer } from './log-in-person.js';
import { keepLoginSecret, sameSecret } from './login-secret.js';
import { LoginThrottle } from './login-throttle.js';

export interface LocalLoginRequest {
  readonly email: string;
  readonly secret: string;
  readonly name?: string | undefined;
  readonly secretariat: boolean;
}

type LocalLoginProblem = Problem<
  'auth.login-unavailable' | 'auth.invalid-credentials' | 'auth.forbidden' | 'request.rate-limited'
>;

/** Passport strategy: whoever knows the installation's secret is whoever they say they are. */
class LocalSecretStrategy extends Strategy {
  constructor(private readonly kept: string) {
    super();
  }

  override authenticate(request: object): void {
    // Not `login`: passport puts a method of that name on every request.
    const { proof } = request as { readonly proof: LocalLoginRequest };
    if (sameSecret(proof.secret, this.kept)) this.success(proof);
    else this.fail('wrong secret', 401);
  }
}

/**
 * The login of a facility that runs on one machine for its owner, without an institution. It exists in the embedded
 * mode only; anywhere else it refuses to start.
 */
@Injectable()
export class LocalLogin implements OnModuleInit {
  private strategies: Authenticator | undefined;
  private readonly throttle = new LoginThrottle();

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LogInPerson) private readonly logInPerson: LogInPerson,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  onModuleInit(): void {
    if (this.config.BEAMTIME_LOCAL_LOGIN === true && !this.config.BEAMTIME_EMBEDDED)
      throw new Error('the local login refuses to start outside the embedded mode');
    if (!this.config.BEAMTIME_EMBEDDED || this.config.BEAMTIME_LOCAL_LOGIN === false) return;
    this.strategies = passportWith(
      'local',
      new LocalSecretStrategy(keepLoginSecret(this.config.BEAMTIME_STATE_DIR)),
    );
  }

  get offered(): boolean {
    return this.strategies !== undefined;
  }

  /** Logs a person in; `address` is where the request comes from, for slowing down guesses. */
  async execute(login: LocalLoginRequest, address: string): Promise<Result<PersonId, LocalLoginProblem>> {
    if (this.strategies === undefined) {
      return err(
        problem(
          'auth.login-unavailable',
          'The local login exists only at a facility that runs on one machine',
        ),
      );
    }
    if (this.throttle.blocks(address)) {
      return err(problem('request.rate-limited', 'Too many failed logins from here; wait a minute'));
    }
    const verdict = await askPassport<LocalLoginRequest>(this.strategies, 'local', { proof: login });
    if (verdict.kind !== 'in') {
      this.throttle.failed(address);
      this.log.warn({ address }, 'a local login failed');
      return err(
        problem(
          'auth.invalid-credentials',
          'This is not what the file local-login-secret of this facility holds',
        ),
      );
    }
    return this.logInPerson.execute({
      issuer: localIssuer,
      subject: verdict.user.email,
      email: verdict.user.email,
      name: verdict.user.name,
      secretariat: verdict.user.secretariat ? 'always' : 'no',
    });
  }
}
