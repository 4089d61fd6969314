import { CreateSuite, FindSuites } from '@beamtime/catalogue';
import {
  createSuite,
  type InputOf,
  listSuites,
  planSuite,
  type ResponseOf,
  showSuite,
} from '@beamtime/contracts';
import {
  Caller,
  Endpoint,
  Input,
  Person,
  type PersonPrincipal,
  type Principal,
  unwrap,
} from '@beamtime/platform';
import { planSuite as planOf } from '@beamtime/suites';
import { Controller, Inject } from '@nestjs/common';
import { Viewers } from './viewers.js';

/** Suites: planned before they are proposed, entered when a round has adopted them. */
@Controller()
export class SuitesController {
  constructor(
    @Inject(CreateSuite) private readonly createSuite: CreateSuite,
    @Inject(FindSuites) private readonly find: FindSuites,
    @Inject(Viewers) private readonly viewers: Viewers,
  ) {}

  @Endpoint(planSuite)
  plan(@Input() input: InputOf<typeof planSuite>): ResponseOf<typeof planSuite> {
    return unwrap(planOf(input.body));
  }

  @Endpoint(createSuite)
  async create(
    @Input() input: InputOf<typeof createSuite>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createSuite>> {
    const { design, labId } = input.body;
    return unwrap(await this.createSuite.execute(design, { actor: caller.personId, labId: labId ?? null }));
  }

  @Endpoint(listSuites)
  list(@Input() input: InputOf<typeof listSuites>): Promise<ResponseOf<typeof listSuites>> {
    return this.find.list(input.query);
  }

  @Endpoint(showSuite)
  async show(
    @Input() input: InputOf<typeof showSuite>,
    @Caller() caller: Principal | undefined,
  ): Promise<ResponseOf<typeof showSuite>> {
    return unwrap(await this.find.show(await this.viewers.of(caller), input.params.suiteId));
  }
}
