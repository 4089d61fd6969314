import {
  AcceptAward,
  Apply,
  ChangeDraft,
  DecideApplication,
  DeclareConflict,
  ReadApplications,
  Recommend,
  SubmitApplication,
  TakeReview,
  WithdrawApplication,
} from '@beamtime/access';
import {
  acceptAward,
  changeApplication,
  createApplication,
  decideApplication,
  declareConflict,
  type InputOf,
  listApplications,
  type ResponseOf,
  recommendApplication,
  showApplication,
  submitApplication,
  takeReview,
  withdrawApplication,
} from '@beamtime/contracts';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';
import { applicationWire, detailsWire, reviewWire } from './wire.js';

@Controller()
export class ApplicationsController {
  constructor(
    @Inject(Apply) private readonly apply: Apply,
    @Inject(ReadApplications) private readonly applications: ReadApplications,
    @Inject(ChangeDraft) private readonly changeDraft: ChangeDraft,
    @Inject(SubmitApplication) private readonly submission: SubmitApplication,
    @Inject(WithdrawApplication) private readonly withdrawal: WithdrawApplication,
    @Inject(TakeReview) private readonly reviews: TakeReview,
    @Inject(Recommend) private readonly recommendations: Recommend,
    @Inject(DeclareConflict) private readonly conflicts: DeclareConflict,
    @Inject(DecideApplication) private readonly decisions: DecideApplication,
    @Inject(AcceptAward) private readonly acceptance: AcceptAward,
  ) {}

  @Endpoint(createApplication)
  async create(
    @Input() { body }: InputOf<typeof createApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createApplication>> {
    return applicationWire(unwrap(await this.apply.execute(caller, body)));
  }

  @Endpoint(listApplications)
  async list(
    @Input() { query }: InputOf<typeof listApplications>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof listApplications>> {
    const { items, next } = unwrap(await this.applications.list(caller, query));
    return { items: items.map(applicationWire), next };
  }

  @Endpoint(showApplication)
  async show(
    @Input() { params }: InputOf<typeof showApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof showApplication>> {
    return detailsWire(unwrap(await this.applications.show(caller, params.applicationId)));
  }

  @Endpoint(changeApplication)
  async change(
    @Input() { params, body }: InputOf<typeof changeApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof changeApplication>> {
    return applicationWire(unwrap(await this.changeDraft.execute(caller, params.applicationId, body)));
  }

  @Endpoint(submitApplication)
  async submit(
    @Input() { params, body }: InputOf<typeof submitApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof submitApplication>> {
    return applicationWire(unwrap(await this.submission.execute(caller, params.applicationId, body.reason)));
  }

  @Endpoint(withdrawApplication)
  async withdraw(
    @Input() { params, body }: InputOf<typeof withdrawApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof withdrawApplication>> {
    return applicationWire(unwrap(await this.withdrawal.execute(caller, params.applicationId, body.reason)));
  }

  @Endpoint(takeReview)
  async takeReview(
    @Input() { params, body }: InputOf<typeof takeReview>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof takeReview>> {
    return reviewWire(unwrap(await this.reviews.execute(caller, params.applicationId, body.reviewerId)));
  }

  @Endpoint(recommendApplication)
  async recommend(
    @Input() { params, body }: InputOf<typeof recommendApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof recommendApplication>> {
    return reviewWire(unwrap(await this.recommendations.execute(caller, params.applicationId, body)));
  }

  @Endpoint(declareConflict)
  async declareConflict(
    @Input() { params, body }: InputOf<typeof declareConflict>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof declareConflict>> {
    unwrap(await this.conflicts.execute(caller, params.applicationId, body.reason));
    return { applicationId: params.applicationId, declared: true };
  }

  @Endpoint(decideApplication)
  async decide(
    @Input() { params, body }: InputOf<typeof decideApplication>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof decideApplication>> {
    return applicationWire(unwrap(await this.decisions.execute(caller, params.applicationId, body)));
  }

  @Endpoint(acceptAward)
  async accept(
    @Input() { params }: InputOf<typeof acceptAward>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof acceptAward>> {
    const allocationId = unwrap(await this.acceptance.execute(caller, params.applicationId));
    return { applicationId: params.applicationId, allocationId };
  }
}
