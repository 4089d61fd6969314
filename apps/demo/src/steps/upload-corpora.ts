import { createHash } from 'node:crypto';
import { registerCorpus, uploadCorpus } from '@beamtime/contracts';
import { builtInCorpora, type CorpusText, corporaFromFolder } from '../corpus-texts.js';
import type { DemoCorpora } from '../demo-suites.js';
import type { Person, World } from '../world.js';
import { problemOf } from './decide-round.js';

/** The demo trains on two languages, also when the user's folder holds more. */
const languagesAtMost = 2;

/** Registers the training and held-out texts; shows that what is no text is refused. */
export async function uploadCorpora(world: World): Promise<DemoCorpora> {
  const { narrator, options } = world;
  narrator.chapter('Real text');
  const pairs = (
    options.corpusDir === undefined ? builtInCorpora() : corporaFromFolder(options.corpusDir)
  ).slice(0, languagesAtMost);
  const uploader = world.labs[0]?.researcher as Person;
  const languages = [];
  const rows: string[][] = [];
  for (const { training, heldOut } of pairs) {
    const corpusId = await upload(uploader, training, world.runName);
    const heldOutCorpusId = await upload(uploader, heldOut, world.runName);
    languages.push({ language: training.language, script: training.script, corpusId, heldOutCorpusId });
    for (const [use, text] of [
      ['train', training],
      ['hold out', heldOut],
    ] as const) {
      rows.push([
        use,
        text.language,
        text.script,
        Buffer.byteLength(text.text).toLocaleString('en'),
        text.source,
      ]);
    }
  }
  narrator.table(['use', 'language', 'script', 'bytes', 'source'], rows);
  const noText = await problemOf(
    upload(
      uploader,
      { name: 'no-text', language: 'deu', script: 'Latn', text: '', source: '' },
      world.runName,
      Buffer.from([0x48, 0xff, 0x00, 0x49]),
    ),
  );
  narrator.check('a corpus that is not UTF-8 text is refused', noText === 'catalogue.invalid-corpus', noText);
  world.report['corpora'] = { languages, texts: rows };
  return { languages };
}

async function upload(
  by: Person,
  corpus: CorpusText,
  runName: string,
  bytes = Buffer.from(corpus.text, 'utf8'),
): Promise<string> {
  const registered = await by.api.call(registerCorpus, {
    body: {
      name: `${corpus.name}-${runName}`,
      description: corpus.source,
      language: corpus.language,
      script: corpus.script,
      sizeBytes: bytes.byteLength,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    },
  });
  const { corpusId } = registered.corpus;
  if (registered.corpus.state !== 'ready') {
    await by.api.raw(uploadCorpus, { params: { corpusId }, body: new Uint8Array(bytes) });
  }
  return corpusId;
}
