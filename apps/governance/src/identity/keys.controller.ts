import { type InputOf, listKeys, type ResponseOf, revokeKey } from '@beamtime/contracts';
import { keyWire, ListApiKeys, RevokeApiKey } from '@beamtime/identity';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** Keys that programs log in with; they are made where their allocation or cluster is. */
@Controller()
export class KeysController {
  constructor(
    @Inject(ListApiKeys) private readonly listApiKeys: ListApiKeys,
    @Inject(RevokeApiKey) private readonly revokeApiKey: RevokeApiKey,
  ) {}

  @Endpoint(listKeys)
  async list(
    @Input() { query }: InputOf<typeof listKeys>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof listKeys>> {
    const keys = await this.listApiKeys.execute(caller, query.limit, query.after);
    const next = keys.length === query.limit ? (keys.at(-1)?.keyId ?? null) : null;
    return { items: keys.map(keyWire), next };
  }

  @Endpoint(revokeKey)
  async revoke(
    @Input() { params }: InputOf<typeof revokeKey>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof revokeKey>> {
    return keyWire(unwrap(await this.revokeApiKey.execute(caller, params.keyId)));
  }
}
