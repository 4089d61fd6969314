/**
 * How keys become names on disk. Characters that no key has keep ours apart: a folder ends in `~`, the description
 * of an object has `~` inside, and a capital is `=` and its small letter, since many disks do not tell them apart.
 */
export const temporaryFolder = '~uploads';

export function fileNameOf(part: string): string {
  return part.replace(/[A-Z]/g, (capital) => `=${capital.toLowerCase()}`);
}

export function folderNameOf(part: string): string {
  return `${fileNameOf(part)}~`;
}

export function metaNameOf(part: string, version: string): string {
  return `${fileNameOf(part)}~${version}`;
}

/** The part of a key that this name stands for; undefined for a description and other things of ours. */
export function partOfName(name: string, isFolder: boolean): string | undefined {
  const encoded = isFolder && name.endsWith('~') ? name.slice(0, -1) : name;
  if (encoded.includes('~') || (isFolder && encoded === name)) return undefined;
  return encoded.replace(/=([a-z])/g, (_, small: string) => small.toUpperCase());
}
