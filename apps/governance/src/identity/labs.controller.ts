import { changeLab, createLab, type InputOf, listLabs, type ResponseOf, showLab } from '@beamtime/contracts';
import { ChangeLab, CreateLab, Directory, labWire } from '@beamtime/identity';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** The members of the consortium. */
@Controller()
export class LabsController {
  constructor(
    @Inject(Directory) private readonly directory: Directory,
    @Inject(CreateLab) private readonly createLab: CreateLab,
    @Inject(ChangeLab) private readonly changeLab: ChangeLab,
  ) {}

  @Endpoint(createLab)
  async create(
    @Input() { body }: InputOf<typeof createLab>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createLab>> {
    return labWire(unwrap(await this.createLab.execute(caller, body)));
  }

  @Endpoint(listLabs)
  async list(): Promise<ResponseOf<typeof listLabs>> {
    return { items: (await this.directory.labs()).map(labWire) };
  }

  @Endpoint(showLab)
  async show(@Input() { params }: InputOf<typeof showLab>): Promise<ResponseOf<typeof showLab>> {
    return labWire(unwrap(await this.directory.lab(params.lab)));
  }

  @Endpoint(changeLab)
  async change(
    @Input() { params, body }: InputOf<typeof changeLab>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof changeLab>> {
    return labWire(unwrap(await this.changeLab.execute(caller, params.lab, body)));
  }
}
