import {
  castBallot,
  dismissDeputy,
  getCertificate,
  getMyBallots,
  getPabulib,
  getReport,
  getResult,
  type InputOf,
  listBallots,
  nameDeputy,
  type ResponseOf,
} from '@beamtime/contracts';
import { CastBallot, NameDeputy, ReadBallots, ReadResults } from '@beamtime/governance';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';

/** Ballots, deputies, and what a count publishes. */
@Controller()
export class BallotsController {
  constructor(
    @Inject(CastBallot) private readonly castBallot: CastBallot,
    @Inject(ReadBallots) private readonly readBallots: ReadBallots,
    @Inject(NameDeputy) private readonly nameDeputy: NameDeputy,
    @Inject(ReadResults) private readonly readResults: ReadResults,
  ) {}

  @Endpoint(castBallot)
  async cast(
    @Input() { params, body }: InputOf<typeof castBallot>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof castBallot>> {
    return unwrap(await this.castBallot.execute(caller, params.roundId, body));
  }

  @Endpoint(getMyBallots)
  async mine(
    @Input() { params }: InputOf<typeof getMyBallots>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof getMyBallots>> {
    return { votes: unwrap(await this.readBallots.mine(caller, params.roundId)) };
  }

  @Endpoint(listBallots)
  async list(
    @Input() { params, query }: InputOf<typeof listBallots>,
  ): Promise<ResponseOf<typeof listBallots>> {
    return unwrap(await this.readBallots.page(params.roundId, query));
  }

  @Endpoint(nameDeputy)
  async name(
    @Input() { params, body }: InputOf<typeof nameDeputy>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof nameDeputy>> {
    return unwrap(await this.nameDeputy.execute(caller, params.roundId, body));
  }

  @Endpoint(dismissDeputy)
  async dismiss(
    @Input() { params }: InputOf<typeof dismissDeputy>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof dismissDeputy>> {
    return unwrap(await this.nameDeputy.dismiss(caller, params.roundId, params.voterId));
  }

  @Endpoint(getResult)
  async result(@Input() { params }: InputOf<typeof getResult>): Promise<ResponseOf<typeof getResult>> {
    return unwrap(await this.readResults.result(params.roundId));
  }

  @Endpoint(getCertificate)
  async certificate(
    @Input() { params }: InputOf<typeof getCertificate>,
    @Res() response: Response,
  ): Promise<void> {
    response.type('application/json').send(unwrap(await this.readResults.certificate(params.roundId)));
  }

  @Endpoint(getReport)
  async report(@Input() { params }: InputOf<typeof getReport>, @Res() response: Response): Promise<void> {
    const page = unwrap(await this.readResults.report(params.roundId));
    // The page brings its style along and needs nothing else.
    response.setHeader(
      'content-security-policy',
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    );
    response.type('text/html').send(page);
  }

  @Endpoint(getPabulib)
  async pabulib(@Input() { params }: InputOf<typeof getPabulib>, @Res() response: Response): Promise<void> {
    response.type('text/plain').send(unwrap(await this.readResults.pabulib(params.roundId)));
  }
}
