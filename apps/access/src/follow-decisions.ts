import { FundRound, Policies, ReleaseSuite, ReserveSuites } from '@beamtime/access';
import { FactDelivery } from '@beamtime/platform';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';

/** Joins what the consortium decides to the books and to the rules of access. */
@Injectable()
export class FollowDecisions implements OnModuleInit {
  constructor(
    @Inject(FactDelivery) private readonly facts: FactDelivery,
    @Inject(FundRound) private readonly fundRound: FundRound,
    @Inject(ReserveSuites) private readonly reserveSuites: ReserveSuites,
    @Inject(ReleaseSuite) private readonly releaseSuite: ReleaseSuite,
    @Inject(Policies) private readonly policies: Policies,
  ) {}

  onModuleInit(): void {
    this.facts.register({
      name: 'access',
      handlers: {
        'round.funded': (fact, tx) => this.fundRound.execute(tx, fact.payload),
        'round.decided': (fact, tx) => this.reserveSuites.execute(tx, fact.payload),
        'suite.released': (fact, tx) => this.releaseSuite.execute(tx, fact.payload),
        'policy.adopted': (fact, tx) => this.policies.adopt(tx, fact.payload, fact.createdAt),
        'policy.ended': (fact, tx) => this.policies.end(tx, fact.payload, fact.createdAt),
      },
    });
  }
}
