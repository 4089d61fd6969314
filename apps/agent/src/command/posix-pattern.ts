/** Pattern matching notation of the shell for file names: IEEE Std 1003.1-2017, 2.13. */

const special = /[*?[]/;

export function hasWildcards(path: string): boolean {
  return special.test(path);
}

/** The folder above the first part that holds a wildcard: where a search begins. */
export function folderBeforeWildcards(path: string): string {
  const parts = path.split('/');
  const first = parts.findIndex((part) => special.test(part));
  return parts.slice(0, first).join('/') || '/';
}

/**
 * Whether a path fits a pattern: `*` and `?` match within one part of a path, `[a-z]` and `[!a-z]` one character. A
 * dot at the beginning of a part is matched by a dot only (2.13.3).
 */
export function fitsPattern(pattern: string, path: string): boolean {
  const patternParts = pattern.split('/');
  const pathParts = path.split('/');
  if (patternParts.length !== pathParts.length) return false;
  return patternParts.every((part, index) => fitsPart(part, pathParts[index] ?? ''));
}

function fitsPart(pattern: string, text: string): boolean {
  if (text.startsWith('.') && !pattern.startsWith('.')) return false;
  let source = '';
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern[at] ?? '';
    if (letter === '*') source += '.*';
    else if (letter === '?') source += '.';
    else if (letter === '[') {
      const set = bracketAt(pattern, at);
      if (set === undefined) source += '\\[';
      else {
        source += set.source;
        at = set.end;
      }
    } else source += letter.replace(/[.+^${}()|\]\\]/g, '\\$&');
  }
  try {
    return new RegExp(`^${source}$`, 'su').test(text);
  } catch {
    // A range that runs backwards matches nothing.
    return false;
  }
}

const classes: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  blank: ' \\t',
  punct: '!-\\/:-@\\[-`\\{-~',
  xdigit: '0-9A-Fa-f',
};

/** A bracket expression that begins at `start`, or undefined: then the bracket is a letter like any other. */
function bracketAt(pattern: string, start: number): { source: string; end: number } | undefined {
  let at = start + 1;
  const negated = pattern[at] === '!' || pattern[at] === '^';
  if (negated) at++;
  let body = '';
  for (let first = true; at < pattern.length; first = false, at++) {
    const letter = pattern[at] ?? '';
    if (letter === ']' && !first) return { source: `[${negated ? '^' : ''}${body}]`, end: at };
    const named = /^\[:([a-z]+):\]/.exec(pattern.slice(at));
    const known = named?.[1] === undefined ? undefined : classes[named[1]];
    if (named !== null && known !== undefined) {
      body += known;
      at += named[0].length - 1;
    } else body += letter === '-' ? '-' : letter.replace(/[\\\]^[&~]/g, '\\$&');
  }
  return undefined;
}
