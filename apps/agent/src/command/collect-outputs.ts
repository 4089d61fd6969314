import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, lstat, mkdir, readdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type CommandEvent, type CommandOutput, commandLimits } from '@beamtime/contracts';
import { hostPath, type Mount } from './plan-mounts.js';
import { fitsPattern, folderBeforeWildcards, hasWildcards } from './posix-pattern.js';

type OutputEvent = Extract<CommandEvent, { event: 'output' }>;

/** An output that is not there, or is not what may be taken. */
export class OutputFault extends Error {
  override readonly name = 'OutputFault';
}

/** Folder of the workdir, outside what commands see, that holds outputs until they are uploaded. */
const collected = 'collected';

/**
 * Finds the outputs after the last command, under their names in storage. Symbolic links are never followed: what they
 * lead to would be looked for on this machine, not in the container.
 */
export async function* collectOutputs(
  outputs: readonly CommandOutput[],
  place: { readonly workdir: string; readonly root: string; readonly mounts: readonly Mount[] },
): AsyncGenerator<OutputEvent> {
  await mkdir(join(place.workdir, collected), { recursive: true });
  const realRoot = await realpath(place.root);
  let count = 0;
  for (const output of outputs) {
    for (const { path, url } of await matchesOf(output, place)) {
      if (++count > commandLimits.files)
        throw new OutputFault(`there are more than ${commandLimits.files} output files`);
      const file = join(collected, String(count));
      await take(`${place.root}${path}`, join(place.workdir, file), path, realRoot);
      const { sizeBytes, sha256 } = await measure(join(place.workdir, file));
      yield { event: 'output', path, url, file, sizeBytes, sha256 };
    }
  }
}

async function matchesOf(
  output: CommandOutput,
  place: { readonly root: string; readonly mounts: readonly Mount[] },
): Promise<{ path: string; url: string }[]> {
  const { path, url, pathPrefix, type } = output;
  if (hasWildcards(path)) {
    const found: string[] = [];
    for await (const file of walk(place.root, folderBeforeWildcards(path)))
      if (fitsPattern(path, file)) found.push(file);
    const prefix = pathPrefix ?? '';
    return found.sort().map((file) => ({
      path: file,
      url: `${url}/${file.slice(prefix.length).replace(/^\/+/, '')}`,
    }));
  }
  if (type === 'DIRECTORY') {
    const found: string[] = [];
    for await (const file of walk(place.root, path)) found.push(file);
    return found.sort().map((file) => ({ path: file, url: `${url}${file.slice(path.length)}` }));
  }
  if (hostPath(place.root, place.mounts, path) === undefined)
    throw new OutputFault(`${path} is in no folder that the task shares`);
  return [{ path, url }];
}

/** Regular files below a folder, by their container paths. */
async function* walk(root: string, folder: string): AsyncGenerator<string> {
  const entries = await readdir(`${root}${folder}`, { withFileTypes: true }).catch(() => {
    throw new OutputFault(`the folder ${folder} is not there`);
  });
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* walk(root, path);
    else if (entry.isFile()) yield path;
  }
}

async function take(from: string, to: string, path: string, realRoot: string): Promise<void> {
  const folder = await realpath(dirname(from)).catch(() => {
    throw new OutputFault(`${path} is not there`);
  });
  if (folder !== realRoot && !folder.startsWith(`${realRoot}/`))
    throw new OutputFault(`${path} leads out of the task's files`);
  const found = await lstat(from).catch(() => {
    throw new OutputFault(`${path} is not there`);
  });
  if (!found.isFile())
    throw new OutputFault(
      found.isDirectory()
        ? `${path} is a folder; declare its type as DIRECTORY`
        : `${path} is no regular file`,
    );
  await link(from, to);
  // What was linked is what counts, should somebody have been quick.
  if (!(await lstat(to)).isFile()) throw new OutputFault(`${path} is no regular file`);
}

async function measure(file: string): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const source = createReadStream(file);
  source.on('data', (chunk) => {
    sizeBytes += chunk.length;
  });
  await pipeline(source, hash);
  return { sizeBytes, sha256: hash.digest('hex') };
}
