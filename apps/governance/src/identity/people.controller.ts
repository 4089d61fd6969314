import { type InputOf, listPeople, type ResponseOf, showPerson } from '@beamtime/contracts';
import { Directory, personWire } from '@beamtime/identity';
import { deny, Endpoint, Input, Person, type PersonPrincipal } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** The people known here. */
@Controller()
export class PeopleController {
  constructor(@Inject(Directory) private readonly directory: Directory) {}

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
    const person = await this.directory.person(params.personId);
    if (person === undefined) deny('resource.not-found', `There is no person ${params.personId}`);
    return personWire(person, caller);
  }
}
