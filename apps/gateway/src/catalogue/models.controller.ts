import {
  FindModels,
  hubIdOf,
  ImportModel,
  ListClosedModel,
  modelView,
  WithdrawModel,
} from '@beamtime/catalogue';
import {
  commitImport,
  type InputOf,
  importModel,
  listClosedModel,
  listEvaluations,
  listModels,
  listNeighbours,
  listRevisionFiles,
  listRevisions,
  type ResponseOf,
  showConfounding,
  showLandscape,
  showModel,
  showModelChain,
  withdrawClosedModel,
} from '@beamtime/contracts';
import {
  Caller,
  CONFIG,
  type Config,
  deny,
  Endpoint,
  Input,
  Person,
  type PersonPrincipal,
  type Principal,
  unwrap,
} from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';
import { requireLab } from '../require-lab.js';
import { Proofs } from './proofs.js';
import { Viewers } from './viewers.js';

type Anyone = Principal | undefined;

/** Models: what there is, what can be compared with what, and models brought from elsewhere. */
@Controller()
export class ModelsController {
  constructor(
    @Inject(FindModels) private readonly find: FindModels,
    @Inject(ImportModel) private readonly importing: ImportModel,
    @Inject(ListClosedModel) private readonly listing: ListClosedModel,
    @Inject(WithdrawModel) private readonly withdrawing: WithdrawModel,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(Viewers) private readonly viewers: Viewers,
    @Inject(Proofs) private readonly proofs: Proofs,
  ) {}

  @Endpoint(listModels)
  async list(
    @Input() input: InputOf<typeof listModels>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof listModels>> {
    return unwrap(await this.find.list(await this.viewers.of(caller), input.query));
  }

  @Endpoint(showModel)
  async show(
    @Input() input: InputOf<typeof showModel>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof showModel>> {
    const shown = unwrap(await this.find.show(await this.viewers.of(caller), input.params.model));
    const chain = await this.proofs.of({ job_id: shown.jobId });
    const proof =
      chain === undefined
        ? null
        : { url: `/models/${shown.modelId}/proof`, sizeBytes: chain.sizeBytes, sha256: chain.sha256 };
    return { ...shown, provenance: { ...shown.provenance, proof } };
  }

  @Endpoint(listRevisions)
  async revisions(
    @Input() input: InputOf<typeof listRevisions>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof listRevisions>> {
    return unwrap(await this.find.revisions(await this.viewers.of(caller), input.params.model));
  }

  @Endpoint(listRevisionFiles)
  async files(
    @Input() input: InputOf<typeof listRevisionFiles>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof listRevisionFiles>> {
    const { model, revision } = input.params;
    const found = unwrap(await this.find.revision(await this.viewers.of(caller), model, revision));
    const name = `step${found.revision.step}`;
    return {
      revision: name,
      files: found.revision.files.map(({ path, sizeBytes, sha256 }) => ({
        path,
        sizeBytes,
        sha256,
        url: `/${hubIdOf(found.model.name)}/resolve/${name}/${path}`,
      })),
    };
  }

  @Endpoint(listEvaluations)
  async evaluations(
    @Input() input: InputOf<typeof listEvaluations>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof listEvaluations>> {
    return unwrap(
      await this.find.evaluations(await this.viewers.of(caller), input.params.model, input.query),
    );
  }

  @Endpoint(listNeighbours)
  async neighbours(
    @Input() input: InputOf<typeof listNeighbours>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof listNeighbours>> {
    return unwrap(await this.find.neighbours(await this.viewers.of(caller), input.params.model));
  }

  @Endpoint(showConfounding)
  async confounding(
    @Input() input: InputOf<typeof showConfounding>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof showConfounding>> {
    return unwrap(await this.find.confounding(await this.viewers.of(caller), input.body));
  }

  @Endpoint(showLandscape)
  async landscape(
    @Input() input: InputOf<typeof showLandscape>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof showLandscape>> {
    return this.find.landscape(await this.viewers.of(caller), input.query);
  }

  @Endpoint(showModelChain)
  async chain(
    @Input() input: InputOf<typeof showModelChain>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof showModelChain>> {
    const record = unwrap(await this.find.record(await this.viewers.of(caller), input.params.model));
    const { modelId, name, jobId, suiteId, proposalId, roundId } = modelView(record);
    return {
      modelId,
      name,
      jobId,
      suiteId,
      proposalId,
      roundId,
      certificateSha256: record.certificate_sha256,
    };
  }

  @Endpoint(importModel)
  async import(
    @Input() input: InputOf<typeof importModel>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof importModel>> {
    requireLab(caller, input.body.labId);
    return unwrap(await this.importing.announce(input.body, caller.personId));
  }

  @Endpoint(listClosedModel)
  async listClosed(
    @Input() input: InputOf<typeof listClosedModel>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof listClosedModel>> {
    const { upstream } = input.body;
    if (!Object.hasOwn(this.config.BEAMTIME_UPSTREAMS, upstream)) {
      deny(
        'inference.upstream-unknown',
        `The operator has configured no upstream ${upstream}; BEAMTIME_UPSTREAMS names them`,
      );
    }
    return unwrap(await this.listing.execute(input.body, caller.personId));
  }

  @Endpoint(withdrawClosedModel)
  async withdraw(
    @Input() input: InputOf<typeof withdrawClosedModel>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof withdrawClosedModel>> {
    return unwrap(await this.withdrawing.execute(input.params.model, input.body.reason, caller.personId));
  }

  @Endpoint(commitImport)
  async commit(
    @Input() input: InputOf<typeof commitImport>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof commitImport>> {
    return unwrap(await this.importing.commit(input.params.model, caller.personId));
  }
}
