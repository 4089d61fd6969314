import {
  type InputOf,
  listPeople,
  type ResponseOf,
  restorePerson,
  showPerson,
  suspendPerson,
} from '@beamtime/contracts';
import { Directory, personWire, SuspendPerson } from '@beamtime/identity';
import { deny, Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** The people known here. */
@Controller()
export class PeopleController {
  constructor(
    @Inject(Directory) private readonly directory: Directory,
    @Inject(SuspendPerson) private readonly suspendPerson: SuspendPerson,
  ) {}

  @Endpoint(listPeople)
  async list(
    @Input() { query }: InputOf<typeof listPeople>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof listPeople>> {
    const people = await this.directory.people(query.limit, query.after);
    const next = people.length === query.limit ? (people.at(-1)?.personId ?? null) : null;
    return { items: people.map((person) => personWire(person, caller)), next };
  }

  @Endpoint(showPerson)
  async show(
    @Input() { params }: InputOf<typeof showPerson>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof showPerson>> {
    return this.wireOf(params.personId, caller);
  }

  @Endpoint(suspendPerson)
  async suspend(
    @Input() { params }: InputOf<typeof suspendPerson>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof suspendPerson>> {
    unwrap(await this.suspendPerson.suspend(caller, params.personId));
    return this.wireOf(params.personId, caller);
  }

  @Endpoint(restorePerson)
  async restore(
    @Input() { params }: InputOf<typeof restorePerson>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof restorePerson>> {
    unwrap(await this.suspendPerson.restore(caller, params.personId));
    return this.wireOf(params.personId, caller);
  }

  private async wireOf(personId: string, viewer: PersonPrincipal) {
    const person = await this.directory.person(personId);
    if (person === undefined) deny('resource.not-found', `There is no person ${personId}`);
    return personWire(person, viewer);
  }
}
