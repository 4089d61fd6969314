import {
  amendProposal,
  analyseProposal,
  commentOnProposal,
  createProposal,
  estimateSuite,
  getPolicy,
  getProposal,
  type InputOf,
  listAdoptedSuites,
  listComments,
  listPolicies,
  listProposals,
  listProposalVersions,
  type ResponseOf,
  releaseSuite,
  withdrawProposal,
} from '@beamtime/contracts';
import {
  AdoptedSuites,
  AmendProposal,
  AnalyseSuite,
  CommentOnProposal,
  CreateProposal,
  ReadPolicies,
  ReadProposals,
} from '@beamtime/governance';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** Proposals with their discussion, and what became of the adopted ones. */
@Controller()
export class ProposalsController {
  constructor(
    @Inject(CreateProposal) private readonly createProposal: CreateProposal,
    @Inject(AmendProposal) private readonly amendProposal: AmendProposal,
    @Inject(AnalyseSuite) private readonly analyseSuite: AnalyseSuite,
    @Inject(CommentOnProposal) private readonly commentOnProposal: CommentOnProposal,
    @Inject(ReadProposals) private readonly readProposals: ReadProposals,
    @Inject(AdoptedSuites) private readonly adoptedSuites: AdoptedSuites,
    @Inject(ReadPolicies) private readonly readPolicies: ReadPolicies,
  ) {}

  @Endpoint(createProposal)
  async create(
    @Input() { params, body }: InputOf<typeof createProposal>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createProposal>> {
    return unwrap(await this.createProposal.execute(caller, params.roundId, body));
  }

  @Endpoint(listProposals)
  async list(
    @Input() { params, query }: InputOf<typeof listProposals>,
  ): Promise<ResponseOf<typeof listProposals>> {
    return unwrap(await this.readProposals.page(params.roundId, query));
  }

  @Endpoint(getProposal)
  async show(@Input() { params }: InputOf<typeof getProposal>): Promise<ResponseOf<typeof getProposal>> {
    return unwrap(await this.readProposals.one(params.proposalId));
  }

  @Endpoint(analyseProposal)
  async analyse(
    @Input() { params }: InputOf<typeof analyseProposal>,
  ): Promise<ResponseOf<typeof analyseProposal>> {
    return unwrap(await this.readProposals.analysis(params.proposalId));
  }

  @Endpoint(estimateSuite)
  async estimate(
    @Input() { body }: InputOf<typeof estimateSuite>,
  ): Promise<ResponseOf<typeof estimateSuite>> {
    return unwrap(await this.analyseSuite.execute(body.design));
  }

  @Endpoint(amendProposal)
  async amend(
    @Input() { params, body }: InputOf<typeof amendProposal>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof amendProposal>> {
    return unwrap(await this.amendProposal.execute(caller, params.proposalId, body));
  }

  @Endpoint(listProposalVersions)
  async versions(
    @Input() { params }: InputOf<typeof listProposalVersions>,
  ): Promise<ResponseOf<typeof listProposalVersions>> {
    return { versions: unwrap(await this.readProposals.versions(params.proposalId)) };
  }

  @Endpoint(withdrawProposal)
  async withdraw(
    @Input() { params, body }: InputOf<typeof withdrawProposal>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof withdrawProposal>> {
    return unwrap(await this.amendProposal.withdraw(caller, params.proposalId, body.reason));
  }

  @Endpoint(commentOnProposal)
  async comment(
    @Input() { params, body }: InputOf<typeof commentOnProposal>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof commentOnProposal>> {
    return unwrap(await this.commentOnProposal.execute(caller, params.proposalId, body));
  }

  @Endpoint(listComments)
  async comments(
    @Input() { params }: InputOf<typeof listComments>,
  ): Promise<ResponseOf<typeof listComments>> {
    return { comments: unwrap(await this.commentOnProposal.list(params.proposalId)) };
  }

  @Endpoint(listAdoptedSuites)
  async adopted(
    @Input() { query }: InputOf<typeof listAdoptedSuites>,
  ): Promise<ResponseOf<typeof listAdoptedSuites>> {
    return this.adoptedSuites.page(query);
  }

  @Endpoint(releaseSuite)
  async release(
    @Input() { params, body }: InputOf<typeof releaseSuite>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof releaseSuite>> {
    return unwrap(await this.adoptedSuites.release(caller, params.suiteId, body.reason));
  }

  @Endpoint(listPolicies)
  async policies(@Input() { query }: InputOf<typeof listPolicies>): Promise<ResponseOf<typeof listPolicies>> {
    return { policies: await this.readPolicies.list(query.inForce) };
  }

  @Endpoint(getPolicy)
  async policy(@Input() { params }: InputOf<typeof getPolicy>): Promise<ResponseOf<typeof getPolicy>> {
    return unwrap(await this.readPolicies.one(params.policyId));
  }
}
