import { basename, extname } from 'node:path';
import {
  type ApiClient,
  type CorpusView,
  commitCorpus,
  corpusFormats,
  listCorpora,
  registerCorpus,
  showCorpus,
  showLab,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { describeFile, uploadFile } from './upload-file.js';

interface AddOptions {
  readonly name?: string;
  readonly language: string;
  readonly script: string;
  readonly format: string;
  readonly description?: string;
  readonly lab?: string;
}

export function registerCorpusCommands(program: Command, io: CliIo): void {
  const corpus = program.command('corpus').description('texts that models are trained and evaluated on');

  examples(
    corpus
      .command('add')
      .description('register a text and upload it; the same text again changes nothing')
      .argument(
        '<file>',
        'UTF-8 text; JSON lines with a field "text"; or minimal pairs as JSON lines with "sentence_good" and "sentence_bad"',
      )
      .option('--name <name>', 'its name in the consortium; by default that of the file')
      .requiredOption('--language <iso639-3>', 'language, as deu')
      .requiredOption('--script <iso15924>', 'script, as Latn')
      .option(
        '--format <text|jsonl|pairs>',
        'one document, one per line, or one minimal pair per line',
        'text',
      )
      .option('--description <text>', 'where it comes from, under which licence')
      .option('--lab <lab>', 'the lab that brings it: short name or id')
      .action(async (path: string, options: AddOptions) => {
        const added = await addCorpus(io, path, options);
        io.show(added, () => describeCorpus(added));
      }),
    'corpus add udhr-deu.txt --language deu --script Latn',
    'corpus add blimp/anaphor_agreement.jsonl --format pairs --language eng --script Latn',
    'corpus add news.jsonl --format jsonl --name news-2025 --language zul --script Latn',
  );

  examples(
    corpus
      .command('list')
      .description('registered corpora')
      .option('--language <iso639-3>', 'only those of one language')
      .action(async ({ language }: { language?: string }) => {
        const items = await allCorpora(io.client(), language);
        io.show(items, () =>
          formatTable(
            ['corpus', 'language', 'script', 'format', 'bytes', 'state', 'id'],
            items.map((one) => [
              one.name,
              one.language,
              one.script,
              one.format,
              one.sizeBytes,
              one.state,
              one.corpusId,
            ]),
            'No corpora yet: beamtime corpus add FILE --language deu --script Latn',
          ),
        );
      }),
    'corpus list --language deu',
  );

  examples(
    corpus
      .command('show')
      .description('one corpus and whether it can be used')
      .argument('<corpus>', 'its name or id')
      .action(async (ref: string) => {
        const client = io.client();
        const found = await client.call(showCorpus, { params: { corpusId: await corpusIdOf(client, ref) } });
        io.show(found, () => describeCorpus(found));
      }),
    'corpus show udhr-deu',
  );
}

async function addCorpus(io: CliIo, path: string, options: AddOptions): Promise<CorpusView> {
  const format = corpusFormats.find((one) => one === options.format);
  if (format === undefined) throw new UsageError(`--format is ${corpusFormats.join(', ')}`);
  const client = io.client();
  const file = await describeFile(path);
  const labId =
    options.lab === undefined
      ? undefined
      : (await client.call(showLab, { params: { lab: options.lab } })).labId;
  const { corpus, upload } = await client.call(registerCorpus, {
    body: {
      name: options.name ?? basename(path, extname(path)),
      description: options.description ?? '',
      language: options.language,
      script: options.script,
      format,
      sizeBytes: file.sizeBytes,
      sha256: file.sha256,
      labId,
    },
  });
  if (upload === null) return corpus;
  io.note(`Uploading ${file.sizeBytes.toLocaleString('en')} bytes of ${path} …`);
  await uploadFile(file, upload);
  // The facility reads the whole text once to check it.
  return client.call(commitCorpus, { params: { corpusId: corpus.corpusId } }, { timeoutMs: 600_000 });
}

export async function allCorpora(client: ApiClient, language?: string): Promise<CorpusView[]> {
  const items: CorpusView[] = [];
  for (let after: string | undefined; ; ) {
    const page = await client.call(listCorpora, { query: { language, after, limit: 500 } });
    items.push(...page.items);
    if (page.next === null) return items;
    after = page.next;
  }
}

/** The id behind a name or an id. */
export async function corpusIdOf(client: ApiClient, ref: string): Promise<string> {
  if (ref.startsWith('cor_')) return ref;
  const found = (await allCorpora(client)).find((one) => one.name === ref);
  if (found === undefined) throw new UsageError(`There is no corpus named ${ref}: beamtime corpus list`);
  return found.corpusId;
}

function describeCorpus(corpus: CorpusView): string {
  return formatFields({
    corpus: corpus.name,
    language: `${corpus.language}-${corpus.script}`,
    format: corpus.format,
    bytes: corpus.sizeBytes,
    state: corpus.reason === null ? corpus.state : `${corpus.state}: ${corpus.reason}`,
    sha256: corpus.sha256,
    id: corpus.corpusId,
  });
}
