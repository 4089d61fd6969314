import { ChangeAllocation, CreateKey, LimitPerson, Policies, ReadAllocations } from '@beamtime/access';
import {
  amendAllocation,
  closeAllocation,
  createAllocationKey,
  type InputOf,
  limitPerson,
  listAllocations,
  listPoliciesInForce,
  listUsage,
  type ResponseOf,
  resumeAllocation,
  showAllocation,
  suspendAllocation,
} from '@beamtime/contracts';
import {
  Caller,
  deny,
  Endpoint,
  Input,
  Person,
  type PersonPrincipal,
  type Principal,
  unwrap,
} from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';
import { allocationWire, eventsWire, usageWire } from './wire.js';

@Controller()
export class AllocationsController {
  constructor(
    @Inject(ReadAllocations) private readonly allocations: ReadAllocations,
    @Inject(ChangeAllocation) private readonly changes: ChangeAllocation,
    @Inject(CreateKey) private readonly keys: CreateKey,
    @Inject(LimitPerson) private readonly limits: LimitPerson,
    @Inject(Policies) private readonly policies: Policies,
  ) {}

  @Endpoint(listAllocations)
  async list(
    @Input() { query }: InputOf<typeof listAllocations>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof listAllocations>> {
    const { items, next } = await this.allocations.list(caller, query);
    return { items: items.map(allocationWire), next };
  }

  @Endpoint(showAllocation)
  async show(
    @Input() { params }: InputOf<typeof showAllocation>,
    @Caller() caller: Principal | undefined,
  ): Promise<ResponseOf<typeof showAllocation>> {
    const shown = unwrap(await this.allocations.show(viewerOf(caller), params.allocationId));
    return { ...allocationWire(shown.allocation), events: eventsWire(shown.events) };
  }

  @Endpoint(listUsage)
  async usage(
    @Input() { params, query }: InputOf<typeof listUsage>,
    @Caller() caller: Principal | undefined,
  ): Promise<ResponseOf<typeof listUsage>> {
    return usageWire(unwrap(await this.allocations.usage(viewerOf(caller), params.allocationId, query)));
  }

  @Endpoint(createAllocationKey)
  async createKey(
    @Input() { params, body }: InputOf<typeof createAllocationKey>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createAllocationKey>> {
    const key = unwrap(await this.keys.execute(caller, params.allocationId, body));
    return { ...key, scopes: [...key.scopes], expiresAt: key.expiresAt?.toISOString() ?? null };
  }

  @Endpoint(limitPerson)
  async limit(
    @Input() { params, body }: InputOf<typeof limitPerson>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof limitPerson>> {
    return unwrap(await this.limits.execute(caller, params.allocationId, params.personId, body));
  }

  @Endpoint(amendAllocation)
  async amend(
    @Input() { params, body }: InputOf<typeof amendAllocation>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof amendAllocation>> {
    unwrap(await this.changes.amend(caller, params.allocationId, body));
    return this.shown(caller, params.allocationId);
  }

  @Endpoint(closeAllocation)
  async close(
    @Input() { params, body }: InputOf<typeof closeAllocation>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof closeAllocation>> {
    unwrap(await this.changes.close(caller, params.allocationId, body.reason));
    return this.shown(caller, params.allocationId);
  }

  @Endpoint(suspendAllocation)
  async suspend(
    @Input() { params, body }: InputOf<typeof suspendAllocation>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof suspendAllocation>> {
    unwrap(await this.changes.suspend(caller, params.allocationId, body.reason));
    return this.shown(caller, params.allocationId);
  }

  @Endpoint(resumeAllocation)
  async resume(
    @Input() { params, body }: InputOf<typeof resumeAllocation>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof resumeAllocation>> {
    unwrap(await this.changes.resume(caller, params.allocationId, body.reason));
    return this.shown(caller, params.allocationId);
  }

  @Endpoint(listPoliciesInForce)
  async policiesInForce(): Promise<ResponseOf<typeof listPoliciesInForce>> {
    const policies = await this.policies.inForce();
    return { items: policies.map((policy) => ({ ...policy, adoptedAt: policy.adoptedAt.toISOString() })) };
  }

  private async shown(caller: PersonPrincipal, allocationId: string) {
    return allocationWire(unwrap(await this.allocations.show(caller, allocationId)).allocation);
  }
}

/** A person by their roles, a key by its allocation. */
function viewerOf(caller: Principal | undefined): PersonPrincipal | { readonly allocationId: string } {
  if (caller?.kind === 'person') return caller;
  if (caller?.kind === 'api-key') return { allocationId: caller.allocationId };
  return deny('auth.forbidden', 'Only a person or an API key may see an allocation');
}
