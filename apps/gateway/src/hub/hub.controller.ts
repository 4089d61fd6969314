import { FindModels, factorsOf, hubIdOf, type ModelRecord, type RevisionRecord } from '@beamtime/catalogue';
import {
  type FileEntry,
  type HubModelInfo,
  type HubTreeEntry,
  hubCommits,
  hubModelInfo,
  hubModels,
  hubNamespace,
  hubRefs,
  hubResolve,
  hubRevisionInfo,
  hubSubtree,
  hubTree,
  type InputOf,
  type ResponseOf,
} from '@beamtime/contracts';
import { Caller, deny, Endpoint, Input, type Principal } from '@beamtime/platform';
import { Controller, Inject, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { Viewers } from '../catalogue/viewers.js';
import { isLarge, SendFile } from './send-file.js';

interface Found {
  readonly model: ModelRecord;
  readonly revision: RevisionRecord;
}

/** Length of a git-lfs pointer file: the hub reports it, nobody reads it. */
const pointerBytes = 134;

/** The Hugging Face hub's read API, as far as `huggingface_hub` and `transformers` use it. */
@Controller()
export class HubController {
  constructor(
    @Inject(FindModels) private readonly find: FindModels,
    @Inject(Viewers) private readonly viewers: Viewers,
    @Inject(SendFile) private readonly files: SendFile,
  ) {}

  @Endpoint(hubModels)
  async models(
    @Input() input: InputOf<typeof hubModels>,
    @Caller() caller: Principal | undefined,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubModels>> {
    const { search, author, filter, limit, cursor } = input.query;
    if (author !== undefined && author !== hubNamespace) return [];
    const records = await this.find.withWeights(await this.viewers.of(caller), {
      search,
      after: cursor,
      limit,
    });
    const last = records.length === limit ? records.at(-1) : undefined;
    if (last !== undefined) {
      const next = new URL(
        request.originalUrl,
        `${request.protocol}://${request.get('host') ?? 'localhost'}`,
      );
      next.searchParams.set('cursor', last.name);
      response.setHeader('link', `<${next.href}>; rel="next"`);
    }
    return records.map(listedModel).filter((model) => filter.every((tag) => model.tags.includes(tag)));
  }

  @Endpoint(hubModelInfo)
  async info(
    @Input() input: InputOf<typeof hubModelInfo>,
    @Caller() caller: Principal | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubModelInfo>> {
    return modelInfo(await this.revisionOf(input.params.name, 'main', caller, response));
  }

  @Endpoint(hubRevisionInfo)
  async revisionInfo(
    @Input() input: InputOf<typeof hubRevisionInfo>,
    @Caller() caller: Principal | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubRevisionInfo>> {
    return modelInfo(await this.revisionOf(input.params.name, input.params.revision, caller, response));
  }

  @Endpoint(hubRefs)
  async refs(
    @Input() input: InputOf<typeof hubRefs>,
    @Caller() caller: Principal | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubRefs>> {
    const { name } = input.params;
    const main = await this.revisionOf(name, 'main', caller, response);
    const listed = await this.find.revisions(await this.viewers.of(caller), main.model.id);
    const steps = listed.ok ? listed.value.items : [];
    const branch = (branchName: string, targetCommit: string) => ({
      name: branchName,
      ref: `refs/heads/${branchName}`,
      targetCommit,
    });
    return {
      branches: [
        branch('main', main.revision.commit),
        ...steps.map(({ revision, commit }) => branch(revision, commit)),
      ],
      converts: [],
      tags: [],
    };
  }

  @Endpoint(hubCommits)
  async commits(
    @Input() input: InputOf<typeof hubCommits>,
    @Caller() caller: Principal | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubCommits>> {
    const { model, revision } = await this.revisionOf(
      input.params.name,
      input.params.revision,
      caller,
      response,
    );
    const listed = await this.find.revisions(await this.viewers.of(caller), model.id);
    const steps = listed.ok ? listed.value.items : [];
    return steps
      .filter(({ step }) => step <= revision.step)
      .reverse()
      .map((one) => ({
        id: one.commit,
        title: one.revision,
        message: one.loss === null ? '' : `loss ${one.loss}`,
        date: one.committedAt,
        authors: [{ user: hubNamespace }],
      }));
  }

  @Endpoint(hubTree)
  async tree(
    @Input() input: InputOf<typeof hubTree>,
    @Caller() caller: Principal | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubTree>> {
    const { name, revision } = input.params;
    const found = await this.revisionOf(name, revision, caller, response);
    return treeOf(found.revision, '', isTrue(input.query.recursive));
  }

  @Endpoint(hubSubtree)
  async subtree(
    @Input() input: InputOf<typeof hubSubtree>,
    @Caller() caller: Principal | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ResponseOf<typeof hubSubtree>> {
    const { name, revision, path } = input.params;
    const found = await this.revisionOf(name, revision, caller, response);
    const entries = treeOf(found.revision, `${path.replace(/\/+$/, '')}/`, isTrue(input.query.recursive));
    if (entries.length === 0)
      refuse(response, 'EntryNotFound', `${name} has no folder ${path} at ${revision}`);
    return entries;
  }

  @Endpoint(hubResolve)
  async resolve(
    @Input() input: InputOf<typeof hubResolve>,
    @Caller() caller: Principal | undefined,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const { name, revision, path } = input.params;
    const found = await this.revisionOf(name, revision, caller, response);
    response.setHeader('x-repo-commit', found.revision.commit);
    const file = found.revision.files.find((one) => one.path === path);
    if (file === undefined) refuse(response, 'EntryNotFound', `${name} has no file ${path} at ${revision}`);
    await this.files.send(file, request, response);
  }

  /** Finds the revision, or answers as the hub does, so that its clients raise what their users know. */
  private async revisionOf(
    name: string,
    revision: string,
    caller: Principal | undefined,
    response: Response,
  ): Promise<Found> {
    const viewer = await this.viewers.of(caller);
    const model = await this.find.record(viewer, name);
    if (!model.ok) {
      response.setHeader('x-error-code', 'RepoNotFound');
      // Whether a private model of this name exists is told to nobody: without a token, ask for one.
      if (caller === undefined) {
        deny(
          'auth.required',
          `There is no public model ${hubNamespace}/${name}; a private one needs a token`,
        );
      }
      deny('resource.not-found', `There is no model ${hubNamespace}/${name} that you may see`);
    }
    const found = await this.find.revision(viewer, model.value.id, revision);
    if (!found.ok && found.error.code === 'catalogue.behaviour-only')
      deny(found.error.code, found.error.detail);
    if (!found.ok) refuse(response, 'RevisionNotFound', `${name} has no revision ${revision}`);
    return found.value;
  }
}

function refuse(response: Response, code: string, detail: string): never {
  response.setHeader('x-error-code', code);
  response.setHeader('x-error-message', detail.replace(/[^\x20-\x7e]/g, '?'));
  deny('resource.not-found', detail);
}

function isTrue(text: string | undefined): boolean {
  return text === 'true' || text === 'True' || text === '1';
}

/** What the hub says of a model in a list. */
function listedModel(model: ModelRecord): ResponseOf<typeof hubModels>[number] {
  const { family, language, objective } = factorsOf(model);
  const id = hubIdOf(model.name);
  return {
    _id: model.id,
    id,
    modelId: id,
    author: hubNamespace,
    private: model.visibility === 'private',
    gated: false,
    disabled: false,
    createdAt: model.created_at.toISOString(),
    downloads: 0,
    likes: 0,
    tags: ['transformers', 'safetensors', family, language].filter((tag) => tag !== null),
    pipeline_tag: objective === 'masked' ? 'fill-mask' : objective === 'causal' ? 'text-generation' : null,
    library_name: 'transformers',
  };
}

function modelInfo({ model, revision }: Found): HubModelInfo {
  return {
    ...listedModel(model),
    sha: revision.commit,
    lastModified: revision.committed_at.toISOString(),
    siblings: revision.files.map((file) => ({
      rfilename: file.path,
      size: file.sizeBytes,
      blobId: blobId(file),
      ...(isLarge(file)
        ? { lfs: { sha256: file.sha256, size: file.sizeBytes, pointerSize: pointerBytes } }
        : {}),
    })),
  };
}

/** The hub names small files by forty digits; ours are the first forty of the content's hash. */
function blobId(file: FileEntry): string {
  return file.sha256.slice(0, 40);
}

function treeOf(revision: RevisionRecord, prefix: string, recursive: boolean): HubTreeEntry[] {
  const folders = new Set<string>();
  const entries: HubTreeEntry[] = [];
  for (const file of revision.files) {
    if (!file.path.startsWith(prefix)) continue;
    const parts = file.path.slice(prefix.length).split('/');
    for (let depth = 1; depth < parts.length && (recursive || depth === 1); depth++) {
      folders.add(prefix + parts.slice(0, depth).join('/'));
    }
    if (!recursive && parts.length > 1) continue;
    entries.push({
      type: 'file',
      oid: blobId(file),
      size: file.sizeBytes,
      path: file.path,
      ...(isLarge(file)
        ? { lfs: { oid: file.sha256, size: file.sizeBytes, pointerSize: pointerBytes } }
        : {}),
    });
  }
  const directories = [...folders].map(
    (path): HubTreeEntry => ({
      type: 'directory',
      oid: revision.commit,
      size: 0,
      path,
    }),
  );
  return [...directories, ...entries];
}
