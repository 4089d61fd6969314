import { FindSuites, ReceiveCorpus, RegisterCorpus } from '@beamtime/catalogue';
import {
  commitCorpus,
  type InputOf,
  listCorpora,
  type ResponseOf,
  registerCorpus,
  showCorpus,
  uploadCorpus,
} from '@beamtime/contracts';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject, Req } from '@nestjs/common';
import type { Request } from 'express';
import { requireLab } from '../require-lab.js';

/** Corpora: announced, brought, checked. */
@Controller()
export class CorporaController {
  constructor(
    @Inject(RegisterCorpus) private readonly registerCorpus: RegisterCorpus,
    @Inject(ReceiveCorpus) private readonly receiveCorpus: ReceiveCorpus,
    @Inject(FindSuites) private readonly find: FindSuites,
  ) {}

  @Endpoint(registerCorpus)
  async register(
    @Input() input: InputOf<typeof registerCorpus>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof registerCorpus>> {
    requireLab(caller, input.body.labId);
    return unwrap(await this.registerCorpus.execute(input.body, caller.personId));
  }

  @Endpoint(uploadCorpus)
  async upload(
    @Input() input: InputOf<typeof uploadCorpus>,
    @Person() caller: PersonPrincipal,
    @Req() request: Request,
  ): Promise<ResponseOf<typeof uploadCorpus>> {
    const length = request.headers['content-length'];
    return unwrap(
      await this.receiveCorpus.upload(
        input.params.corpusId,
        caller.personId,
        request,
        length === undefined ? undefined : Number(length),
      ),
    );
  }

  @Endpoint(commitCorpus)
  async commit(
    @Input() input: InputOf<typeof commitCorpus>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof commitCorpus>> {
    return unwrap(await this.receiveCorpus.commit(input.params.corpusId, caller.personId));
  }

  @Endpoint(listCorpora)
  list(@Input() input: InputOf<typeof listCorpora>): Promise<ResponseOf<typeof listCorpora>> {
    return this.find.corpora(input.query);
  }

  @Endpoint(showCorpus)
  async show(@Input() input: InputOf<typeof showCorpus>): Promise<ResponseOf<typeof showCorpus>> {
    return unwrap(await this.find.corpus(input.params.corpusId));
  }
}
