import {
  commitSpaceFile,
  findSpaceFile,
  type InputOf,
  listSpaceFiles,
  partsOfSpaceUrl,
  type ResponseOf,
  removeSpaceFile,
  uploadSpaceFile,
} from '@beamtime/contracts';
import { Caller, deny, Endpoint, Input, type Principal, unwrap } from '@beamtime/platform';
import { Spaces } from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';
import { spacesOf, taskCaller } from './task-caller.js';

/** Files that tasks read and leave, for people of the lab, or for keys of the allocation, whose space it is. */
@Controller()
export class FilesController {
  constructor(@Inject(Spaces) private readonly spaces: Spaces) {}

  @Endpoint(uploadSpaceFile)
  async upload(
    @Input() input: InputOf<typeof uploadSpaceFile>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof uploadSpaceFile>> {
    requireSpaceOf(input.body.url, principal);
    return { upload: await this.spaces.grantUpload(input.body) };
  }

  @Endpoint(commitSpaceFile)
  async commit(
    @Input() input: InputOf<typeof commitSpaceFile>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof commitSpaceFile>> {
    requireSpaceOf(input.body.url, principal);
    return unwrap(await this.spaces.commit(input.body));
  }

  @Endpoint(findSpaceFile)
  async find(
    @Input() input: InputOf<typeof findSpaceFile>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof findSpaceFile>> {
    requireSpaceOf(input.query.url, principal);
    return unwrap(await this.spaces.find(input.query.url));
  }

  @Endpoint(listSpaceFiles)
  list(
    @Input() input: InputOf<typeof listSpaceFiles>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof listSpaceFiles>> {
    requireSpace(input.query.space, principal);
    return this.spaces.list(input.query.space, input.query);
  }

  @Endpoint(removeSpaceFile)
  async remove(
    @Input() input: InputOf<typeof removeSpaceFile>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof removeSpaceFile>> {
    requireSpaceOf(input.query.url, principal);
    return { removed: await this.spaces.remove(input.query.url) };
  }
}

function requireSpaceOf(url: string, principal: Principal | undefined): void {
  requireSpace(partsOfSpaceUrl(url)?.space ?? '', principal);
}

function requireSpace(space: string, principal: Principal | undefined): void {
  if (!spacesOf(taskCaller(principal)).includes(space))
    deny('auth.forbidden', `The files of ${space} are for its own people`);
}
