import {
  type ApiClient,
  type BallotContent,
  type ClientBodyOf,
  castBallot,
  closeRound,
  createApiClient,
  createProposal,
  createRound,
  deliberateRound,
  getRound,
  openProposals,
  openVote,
  ProblemError,
  pledge,
  type RoundView,
  type SuiteDesignInput,
} from '@beamtime/contracts';
import { GovernanceServiceModule, governanceSchemas } from '@beamtime/governance-app';
import { IdentityModule } from '@beamtime/identity';
import { type SeededPerson, seedLab, seedPerson } from '@beamtime/identity/testing';
import type { LabId } from '@beamtime/kernel';
import { type ContextSchema, Transactor } from '@beamtime/platform';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import type { DynamicModule, Type } from '@nestjs/common';

export interface Person extends SeededPerson {
  readonly api: ApiClient;
}

export interface LabForTest {
  readonly labId: LabId;
  readonly delegate: Person;
  readonly researcher: Person;
}

/** The governance service with the real identity on a database of its own, and a few labs with people. */
export class Consortium {
  private constructor(
    readonly service: TestService,
    readonly transactor: Transactor,
    readonly secretariat: Person,
    readonly anonymous: ApiClient,
  ) {}

  /** @param neighbours services that run beside governance, with their tables. */
  static async open(
    neighbours: { modules: (Type | DynamicModule)[]; schemas: readonly ContextSchema[] } = {
      modules: [],
      schemas: [],
    },
  ): Promise<Consortium> {
    const service = await serviceForTest({
      module: { module: class Services {}, imports: [GovernanceServiceModule, ...neighbours.modules] },
      schemas: [...new Set([...governanceSchemas, ...neighbours.schemas])],
      identity: IdentityModule,
      settings: { BEAMTIME_LOG_LEVEL: process.env['BEAMTIME_LOG_LEVEL'] ?? 'fatal' },
    });
    const transactor = service.app.get(Transactor);
    const anonymous = createApiClient(service.url);
    const seeded = await transactor.do((tx) =>
      seedPerson(tx, 'office@example.org', [{ labId: null, role: 'secretariat' }]),
    );
    return new Consortium(service, transactor, { ...seeded, api: anonymous.as(seeded.token) }, anonymous);
  }

  async person(email: string, roles: Parameters<typeof seedPerson>[2]): Promise<Person> {
    const seeded = await this.transactor.do((tx) => seedPerson(tx, email, roles));
    return { ...seeded, api: this.anonymous.as(seeded.token) };
  }

  async lab(slug: string, contributionWeight = 1): Promise<LabForTest> {
    const labId = await this.transactor.do((tx) => seedLab(tx, slug, contributionWeight));
    const delegate = await this.person(`delegate@${slug}.org`, [{ labId, role: 'delegate' }]);
    const researcher = await this.person(`researcher@${slug}.org`, [{ labId, role: 'researcher' }]);
    return { labId, delegate, researcher };
  }

  async close(): Promise<void> {
    await this.service.close();
  }

  async round(charter: NonNullable<ClientBodyOf<typeof createRound>['charter']> = {}): Promise<RoundView> {
    return this.secretariat.api.call(createRound, { body: { title: 'Round', charter } });
  }

  async pledge(round: RoundView, lab: LabForTest, gpuSeconds: number, gpuType?: string): Promise<void> {
    await lab.delegate.api.call(pledge, {
      params: { roundId: round.roundId },
      body: { labId: lab.labId, gpuSeconds, ...(gpuType === undefined ? {} : { gpuType }) },
    });
  }

  async proposeSuite(
    round: RoundView,
    lab: LabForTest,
    name: string,
    options: {
      models?: number;
      secondsPerModel?: number;
      more?: object;
      design?: Partial<SuiteDesignInput>;
    } = {},
  ): Promise<string> {
    const made = await lab.researcher.api.call(createProposal, {
      params: { roundId: round.roundId },
      body: {
        labId: lab.labId,
        body: { kind: 'suite', design: { ...designOf(name, options), ...options.design } },
        ...options.more,
      },
    });
    return made.proposalId;
  }

  async move(round: RoundView, to: 'proposing' | 'deliberating' | 'voting' | 'counting'): Promise<RoundView> {
    const endpoints = {
      proposing: openProposals,
      deliberating: deliberateRound,
      voting: openVote,
      counting: closeRound,
    };
    return this.secretariat.api.call(endpoints[to], { params: { roundId: round.roundId }, body: {} });
  }

  async vote(person: Person, round: RoundView, content: BallotContent, voterId?: string) {
    return person.api.call(castBallot, {
      params: { roundId: round.roundId },
      body: { content, ...(voterId === undefined ? {} : { voterId }) },
    });
  }

  /** Waits until the reconciler has counted. */
  async decided(round: RoundView): Promise<RoundView> {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const now = await this.anonymous.call(getRound, { params: { roundId: round.roundId } });
      if (now.state === 'decided') return now;
      if (Date.now() > deadline) throw new Error(`round ${round.roundId} is still ${now.state}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A suite of so many models that is estimated at `models × secondsPerModel` GPU-seconds: training is next to nothing. */
export function designOf(
  name: string,
  { models = 2, secondsPerModel = 1_000 }: { models?: number; secondsPerModel?: number } = {},
): SuiteDesignInput {
  return {
    name,
    title: `Suite ${name}`,
    factors: {
      family: ['gpt-neox'],
      size: [{ name: '160k', layers: 2, hiddenSize: 64, heads: 2 }],
      language: [{ name: 'eng', language: 'eng', script: 'Latn', corpusId: 'english' }],
      tokenizer: [{ name: 'bytes', kind: 'byte' }],
      initialisationSeed: Array.from({ length: models }, (_, seed) => seed),
      dataOrderSeed: [1],
      steps: [2],
    },
    training: { contextTokens: 64, batchSize: 1, learningRate: 0.001 },
    resources: { overheadSecondsPerModel: secondsPerModel - 1 },
  };
}

/** The code of the problem that a call is refused with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ProblemError) return error.problem.code;
    throw error;
  }
  return 'done';
}
