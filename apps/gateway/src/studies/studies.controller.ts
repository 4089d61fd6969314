import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  createStudy,
  downloadStudyCsv,
  drawStudyFigure,
  type InputOf,
  listStudies,
  type ResponseOf,
  readStudyResults,
  showStudy,
  showStudyChain,
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
import { CreateStudy, FindStudies, ReadResults, type StudyViewer } from '@beamtime/studies';
import { Controller, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Viewers } from '../catalogue/viewers.js';
import { requireLab } from '../require-lab.js';

type Anyone = Principal | undefined;

/** Studies: one evaluation over many models, its numbers and its figure. */
@Controller()
export class StudiesController {
  constructor(
    @Inject(CreateStudy) private readonly createStudy: CreateStudy,
    @Inject(FindStudies) private readonly find: FindStudies,
    @Inject(ReadResults) private readonly results: ReadResults,
    @Inject(Viewers) private readonly viewers: Viewers,
  ) {}

  @Endpoint(createStudy)
  async create(
    @Input() input: InputOf<typeof createStudy>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof createStudy>> {
    requireLab(caller, input.body.labId);
    const viewer = await this.viewer(caller);
    return unwrap(await this.createStudy.execute(input.body, { personId: caller.personId, viewer }));
  }

  @Endpoint(listStudies)
  async list(
    @Input() input: InputOf<typeof listStudies>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof listStudies>> {
    return this.find.list(await this.viewer(caller), input.query);
  }

  @Endpoint(showStudy)
  async show(
    @Input() input: InputOf<typeof showStudy>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof showStudy>> {
    return unwrap(await this.find.show(await this.viewer(caller), input.params.studyId));
  }

  @Endpoint(readStudyResults)
  async rows(
    @Input() input: InputOf<typeof readStudyResults>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof readStudyResults>> {
    return unwrap(await this.results.page(await this.viewer(caller), input.params.studyId, input.query));
  }

  @Endpoint(downloadStudyCsv)
  async csv(
    @Input() input: InputOf<typeof downloadStudyCsv>,
    @Caller() caller: Anyone,
    @Res() response: Response,
  ): Promise<void> {
    const { studyId } = input.params;
    const lines = unwrap(await this.results.csv(await this.viewer(caller), studyId));
    response.type('text/csv; charset=utf-8');
    response.setHeader('content-disposition', `attachment; filename="${studyId}.csv"`);
    await pipeline(Readable.from(lines), response).catch((error: unknown) => {
      if (!response.destroyed) throw error;
    });
  }

  @Endpoint(drawStudyFigure)
  async figure(
    @Input() input: InputOf<typeof drawStudyFigure>,
    @Caller() caller: Anyone,
    @Res() response: Response,
  ): Promise<void> {
    const svg = unwrap(await this.results.figure(await this.viewer(caller), input.params.studyId));
    response.type('image/svg+xml; charset=utf-8').send(svg);
  }

  @Endpoint(showStudyChain)
  async chain(
    @Input() input: InputOf<typeof showStudyChain>,
    @Caller() caller: Anyone,
  ): Promise<ResponseOf<typeof showStudyChain>> {
    return unwrap(await this.find.chain(await this.viewer(caller), input.params.studyId));
  }

  private async viewer(caller: Anyone): Promise<StudyViewer> {
    const { seesAll, labIds } = await this.viewers.of(caller);
    return { seesAll, labIds };
  }
}
