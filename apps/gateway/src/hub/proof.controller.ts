import { FindModels } from '@beamtime/catalogue';
import { type InputOf, readModelProof } from '@beamtime/contracts';
import { Caller, deny, Endpoint, Input, type Principal, unwrap } from '@beamtime/platform';
import { Controller, Inject, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { Proofs } from '../catalogue/proofs.js';
import { Viewers } from '../catalogue/viewers.js';
import { SendFile } from './send-file.js';

/** The hash chain of a training run, published with its model. */
@Controller()
export class ProofController {
  constructor(
    @Inject(FindModels) private readonly find: FindModels,
    @Inject(Viewers) private readonly viewers: Viewers,
    @Inject(Proofs) private readonly proofs: Proofs,
    @Inject(SendFile) private readonly files: SendFile,
  ) {}

  @Endpoint(readModelProof)
  async read(
    @Input() input: InputOf<typeof readModelProof>,
    @Caller() caller: Principal | undefined,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const model = unwrap(await this.find.record(await this.viewers.of(caller), input.params.model));
    const chain = await this.proofs.of(model);
    if (chain === undefined) {
      deny(
        'resource.not-found',
        `${model.name} has no hash chain of steps: it was not trained here, or its training has not ended`,
      );
    }
    await this.files.send(chain, request, response);
  }
}
