import { createHash } from 'node:crypto';
import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type ApiClient,
  commitSpaceFile,
  findSpaceFile,
  listSpaceFiles,
  removeSpaceFile,
  type SpaceFile,
  showLab,
  UnreachableError,
  uploadSpaceFile,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import { describeFile, uploadFile } from '../catalogue/upload-file.js';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';

const example = 'beamtime://lab_01ky0w3h5cqfzv8r4n2t6m9b7d/in/reads.fa';

export function registerFileCommands(program: Command, io: CliIo): void {
  const files = program
    .command('files')
    .description('files of a lab or an allocation that tasks (GA4GH TES) read and leave');

  examples(
    files
      .command('put')
      .description('upload a file under a name; what was there before is replaced')
      .argument('<file>', 'on this machine')
      .argument('<url>', 'beamtime://lab_…/path; with a slash at its end the name of the file is added')
      .action(async (path: string, url: string) => {
        const put = await putFile(io, resolve(io.cwd, path), url.endsWith('/') ? url + basename(path) : url);
        io.show(put, () => describe(put));
      }),
    `files put reads.fa ${example}`,
  );

  examples(
    files
      .command('get')
      .description('fetch a file, checked by its digest')
      .argument('<url>', 'beamtime://lab_…/path')
      .argument('[file]', 'where to put it; by default its own name in this folder')
      .action(async (url: string, path: string | undefined) => {
        const target = resolve(io.cwd, path ?? basename(url));
        const found = await getFile(io.client(), url, target);
        io.show({ ...found, path: target }, () => describe(found));
      }),
    `files get ${example}`,
  );

  examples(
    files
      .command('list')
      .description('the files of a lab or an allocation, by name')
      .argument('<space>', 'lab: short name or id; allocation: id')
      .option('--prefix <path>', 'only those whose path begins so')
      .action(async (space: string, { prefix }: { prefix?: string }) => {
        const items = await allFiles(io.client(), space, prefix);
        io.show(items, () =>
          formatTable(
            ['file', 'bytes', 'changed', 'made by'],
            items.map((one) => [
              one.url,
              one.sizeBytes,
              one.updatedAt.slice(0, 19).replace('T', ' '),
              one.jobId,
            ]),
            'No files here: beamtime files put FILE beamtime://lab_…/path',
          ),
        );
      }),
    'files list lab-a --prefix results/',
  );

  examples(
    files
      .command('remove')
      .description('take a file out of its space; tasks that have read it keep what they read')
      .argument('<url>', 'beamtime://lab_…/path')
      .action(async (url: string) => {
        const after = await io.client().call(removeSpaceFile, { query: { url } });
        io.show(after, () =>
          formatFields({ file: url, removed: after.removed ? 'yes' : 'it was not there' }),
        );
      }),
    `files remove ${example}`,
  );
}

async function putFile(io: CliIo, path: string, url: string): Promise<SpaceFile> {
  const client = io.client();
  const file = await describeFile(path);
  const body = { url, sizeBytes: file.sizeBytes, sha256: file.sha256 };
  const { upload } = await client.call(uploadSpaceFile, { body });
  if (upload !== null) {
    io.note(`Uploading ${file.sizeBytes.toLocaleString('en')} bytes of ${path} …`);
    await uploadFile(file, upload);
  }
  return client.call(commitSpaceFile, { body });
}

async function getFile(client: ApiClient, url: string, target: string): Promise<SpaceFile> {
  const { downloadUrl, ...file } = await client.call(findSpaceFile, { query: { url } });
  const unreachable = (why: string, cause?: unknown): UnreachableError =>
    new UnreachableError(`${url} could not be fetched: ${why}`, { cause });
  const response = await fetch(downloadUrl).catch((cause: unknown) => {
    throw unreachable('the object store cannot be reached', cause);
  });
  if (!response.ok) throw unreachable(`HTTP ${response.status}`);
  const digest = createHash('sha256');
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      digest.update(chunk);
      done(null, chunk);
    },
  });
  // An earlier file of this name stays until the new one is whole.
  const partial = `${target}.part`;
  try {
    const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body as never);
    await pipeline(body, counted, createWriteStream(partial));
    if (digest.digest('hex') !== file.sha256) throw unreachable('other bytes came than its digest says');
    renameSync(partial, target);
  } finally {
    rmSync(partial, { force: true });
  }
  return file;
}

async function allFiles(client: ApiClient, space: string, prefix = ''): Promise<SpaceFile[]> {
  const isId = /^(lab|alc)_/.test(space);
  const id = isId ? space : (await client.call(showLab, { params: { lab: space } })).labId;
  const items: SpaceFile[] = [];
  for (let after: string | undefined; ; ) {
    const page = await client.call(listSpaceFiles, { query: { space: id, prefix, limit: 1_000, after } });
    items.push(...page.items);
    if (page.next === null) return items;
    after = page.next;
  }
}

function describe(file: SpaceFile): string {
  return formatFields({
    file: file.url,
    bytes: file.sizeBytes,
    sha256: file.sha256,
    'made by': file.jobId ?? 'a person',
  });
}
