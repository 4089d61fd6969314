/**
 * The full name of an image, as container engines resolve it: registry docker.io, library for official images, tag
 * latest unless there is a digest. https://github.com/distribution/reference, normalize.go.
 */
export function fullImageName(image: string): string {
  const bare = image.replace(/^docker:\/\//, '');
  const [first = '', ...rest] = bare.split('/');
  const isRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const named = isRegistry ? bare : rest.length === 0 ? `docker.io/library/${bare}` : `docker.io/${bare}`;
  const lastPart = named.slice(named.lastIndexOf('/') + 1);
  return /[:@]/.test(lastPart) ? named : `${named}:latest`;
}

/** Whether one of the patterns admits the image; a pattern may be written as short as an image. */
export function admitsImage(patterns: readonly string[], image: string): boolean {
  const full = fullImageName(image);
  return patterns.some(
    (pattern) => matches(pattern, full) || (!pattern.includes('*') && fullImageName(pattern) === full),
  );
}

/** Whether one of the patterns admits the host of a URL; `*.example.org` admits what is below, not itself. */
export function admitsHost(patterns: readonly string[], url: URL): boolean {
  const host = url.hostname.toLowerCase();
  return patterns.some((pattern) => {
    const wanted = pattern.toLowerCase();
    // With a port only that port.
    return matches(wanted, wanted.includes(':') ? url.host.toLowerCase() : host);
  });
}

function matches(pattern: string, text: string): boolean {
  const source = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*+/g, '.*');
  return new RegExp(`^${source}$`).test(text);
}
