import { type InputOf, listQuotas, type ResponseOf, setQuota } from '@beamtime/contracts';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { SetQuota } from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';

/** How many unfinished jobs, and GPUs at once, labs, persons and projects may have. */
@Controller()
export class QuotasController {
  constructor(@Inject(SetQuota) private readonly quotas: SetQuota) {}

  @Endpoint(setQuota)
  async set(
    @Input() input: InputOf<typeof setQuota>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof setQuota>> {
    return { items: unwrap(await this.quotas.execute({ ...input.body, actor: caller.personId })) };
  }

  @Endpoint(listQuotas)
  async list(): Promise<ResponseOf<typeof listQuotas>> {
    return { items: await this.quotas.list() };
  }
}
