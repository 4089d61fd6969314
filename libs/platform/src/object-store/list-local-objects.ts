import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { partOfName } from './local-object-names.js';
import type { ListedObject, ObjectPage } from './object-store.js';

/** One page of the keys below `root`, in the order that S3 gives: that of their bytes. */
export async function listLocalObjects(
  root: string,
  prefix: string,
  after: string,
  limit: number,
): Promise<ObjectPage> {
  const objects: ListedObject[] = [];
  for await (const { key, path } of walk(root, '', prefix, after)) {
    if (objects.length === limit) return { objects, nextAfter: objects.at(-1)?.key ?? after };
    const found = await stat(path).catch(() => undefined);
    // Deleted since the folder was read: not in the list.
    if (found) objects.push({ key, sizeBytes: found.size, modifiedAt: found.mtime });
  }
  return { objects };
}

async function* walk(
  folder: string,
  keyOfFolder: string,
  prefix: string,
  after: string,
): AsyncGenerator<{ key: string; path: string }> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(() => []))
    .flatMap((entry) => {
      const part = partOfName(entry.name, entry.isDirectory());
      if (part === undefined) return [];
      const key = `${keyOfFolder}${part}${entry.isDirectory() ? '/' : ''}`;
      return [{ key, path: join(folder, entry.name), isFolder: entry.isDirectory() }];
    })
    // A folder sorts as its name with the slash does, which is where the keys in it stand among the others.
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  for (const { key, path, isFolder } of entries) {
    if (isFolder) {
      const mayHold = key.startsWith(prefix) || prefix.startsWith(key);
      // All keys in it are at most the folder's key followed by the highest character.
      if (mayHold && (after < key || after.startsWith(key))) yield* walk(path, key, prefix, after);
    } else if (key.startsWith(prefix) && key > after) {
      yield { key, path };
    }
  }
}
