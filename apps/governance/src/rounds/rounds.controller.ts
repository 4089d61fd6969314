import {
  amendCharter,
  cancelRound,
  closeRound,
  createRound,
  deliberateRound,
  getFrozen,
  getRoll,
  getRound,
  type InputOf,
  listPledges,
  listRoundEvents,
  listRounds,
  openProposals,
  openVote,
  pledge,
  type ResponseOf,
} from '@beamtime/contracts';
import {
  AmendCharter,
  CreateRound,
  MoveRound,
  OpenVote,
  PledgeGpuTime,
  ReadRounds,
} from '@beamtime/governance';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';

/** Rounds, their lifecycle, and the pledges behind their budget. */
@Controller()
export class RoundsController {
  constructor(
    @Inject(CreateRound) private readonly createRound: CreateRound,
    @Inject(AmendCharter) private readonly amendCharter: AmendCharter,
    @Inject(MoveRound) private readonly moveRound: MoveRound,
    @Inject(OpenVote) private readonly openVote: OpenVote,
    @Inject(ReadRounds) private readonly readRounds: ReadRounds,
    @Inject(PledgeGpuTime) private readonly pledgeGpuTime: PledgeGpuTime,
  ) {}

  @Endpoint(createRound)
  async create(
    @Input() { body }: InputOf<typeof createRound>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createRound>> {
    return unwrap(await this.createRound.execute(caller, body));
  }

  @Endpoint(listRounds)
  async list(@Input() { query }: InputOf<typeof listRounds>): Promise<ResponseOf<typeof listRounds>> {
    return this.readRounds.page(query);
  }

  @Endpoint(getRound)
  async show(@Input() { params }: InputOf<typeof getRound>): Promise<ResponseOf<typeof getRound>> {
    return unwrap(await this.readRounds.one(params.roundId));
  }

  @Endpoint(listRoundEvents)
  async events(
    @Input() { params }: InputOf<typeof listRoundEvents>,
  ): Promise<ResponseOf<typeof listRoundEvents>> {
    return { events: unwrap(await this.readRounds.events(params.roundId)) };
  }

  @Endpoint(getRoll)
  async roll(@Input() { params }: InputOf<typeof getRoll>): Promise<ResponseOf<typeof getRoll>> {
    return { roll: unwrap(await this.readRounds.roll(params.roundId)) };
  }

  @Endpoint(getFrozen)
  async frozen(@Input() { params }: InputOf<typeof getFrozen>, @Res() response: Response): Promise<void> {
    response.type('application/json').send(unwrap(await this.readRounds.frozenText(params.roundId)));
  }

  @Endpoint(amendCharter)
  async amend(
    @Input() { params, body }: InputOf<typeof amendCharter>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof amendCharter>> {
    return unwrap(await this.amendCharter.execute(caller, params.roundId, body));
  }

  @Endpoint(openProposals)
  async propose(
    @Input() { params, body }: InputOf<typeof openProposals>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof openProposals>> {
    return unwrap(await this.moveRound.execute(caller.personId, params.roundId, 'proposing', body.reason));
  }

  @Endpoint(deliberateRound)
  async deliberate(
    @Input() { params, body }: InputOf<typeof deliberateRound>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof deliberateRound>> {
    return unwrap(await this.moveRound.execute(caller.personId, params.roundId, 'deliberating', body.reason));
  }

  @Endpoint(openVote)
  async vote(
    @Input() { params, body }: InputOf<typeof openVote>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof openVote>> {
    return unwrap(await this.openVote.execute(caller.personId, params.roundId, body.reason));
  }

  @Endpoint(closeRound)
  async close(
    @Input() { params, body }: InputOf<typeof closeRound>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof closeRound>> {
    return unwrap(await this.moveRound.execute(caller.personId, params.roundId, 'counting', body.reason));
  }

  @Endpoint(cancelRound)
  async cancel(
    @Input() { params, body }: InputOf<typeof cancelRound>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof cancelRound>> {
    return unwrap(await this.moveRound.execute(caller.personId, params.roundId, 'cancelled', body.reason));
  }

  @Endpoint(pledge)
  async pledge(
    @Input() { params, body }: InputOf<typeof pledge>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof pledge>> {
    return unwrap(await this.pledgeGpuTime.execute(caller, params.roundId, body));
  }

  @Endpoint(listPledges)
  async pledges(@Input() { params }: InputOf<typeof listPledges>): Promise<ResponseOf<typeof listPledges>> {
    return unwrap(await this.pledgeGpuTime.list(params.roundId));
  }
}
