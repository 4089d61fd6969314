import { TextCheck, type TextFault } from './check-text.js';

/** What the bytes of a corpus are: one text, one document per line, or one minimal pair per line. */
export type CorpusFormat = 'text' | 'jsonl' | 'pairs';

/** The runner holds one line of JSON in memory, and refuses a longer one. */
const lineBytesMax = 64 * 1024 * 1024;
/** As many as the runner takes in one task; BLiMP has 67,000 in all its sets together. */
const pairsMax = 100_000;
const lineFeed = 0x0a;

/** Checks a corpus as it streams by: that it is text, and that its lines hold what its format promises. */
export class CorpusCheck {
  private readonly text = new TextCheck();
  private readonly lines: LinesCheck | undefined;

  constructor(format: CorpusFormat) {
    this.lines = format === 'text' ? undefined : new LinesCheck(format);
  }

  /** Takes the next bytes; the first fault of all bytes so far. */
  take(chunk: Uint8Array): TextFault | undefined {
    return this.text.take(chunk) ?? this.lines?.take(chunk);
  }

  /** The verdict when nothing more comes. */
  end(): TextFault | undefined {
    return this.text.end() ?? this.lines?.end();
  }
}

/** Reads JSON lines as the runner will: by the same rules, so that nothing is accepted here that it refuses there. */
class LinesCheck {
  private pending: Uint8Array[] = [];
  private pendingBytes = 0;
  private offset = 0;
  private line = 1;
  /** Documents with anything to read, or pairs. */
  private usable = 0;
  private found: TextFault | undefined;

  constructor(private readonly format: Exclude<CorpusFormat, 'text'>) {}

  take(chunk: Uint8Array): TextFault | undefined {
    let from = 0;
    while (this.found === undefined) {
      const end = chunk.indexOf(lineFeed, from);
      this.keep(chunk.subarray(from, end === -1 ? chunk.length : end));
      if (end === -1) break;
      this.judgeLine();
      this.offset += 1;
      this.line += 1;
      from = end + 1;
    }
    return this.found;
  }

  end(): TextFault | undefined {
    if (this.found === undefined) this.judgeLine();
    if (this.found === undefined && this.usable === 0) {
      const what = this.format === 'jsonl' ? 'no line has any text in "text"' : 'it has no pair';
      this.found = { offset: 0, why: what };
    }
    return this.found;
  }

  private keep(bytes: Uint8Array): void {
    this.pendingBytes += bytes.length;
    if (this.pendingBytes > lineBytesMax) {
      this.fail(`line ${this.line} is longer than ${lineBytesMax / 1024 ** 2} MiB`);
    } else if (bytes.length > 0) {
      // The sender may use its buffer again.
      this.pending.push(bytes.slice());
    }
  }

  private judgeLine(): void {
    if (this.found !== undefined) return;
    // The runner reads documents as bytes and pairs as text: a mark of byte order is an error in the latter.
    const line = decode(this.pending, this.format === 'pairs');
    const why = /^[\t-\r ]*$/.test(line) ? undefined : this.faultOf(line);
    if (why !== undefined) this.fail(`line ${this.line} ${why}`);
    this.offset += this.pendingBytes;
    this.pending = [];
    this.pendingBytes = 0;
  }

  private faultOf(line: string): string | undefined {
    const value = parse(line);
    if (this.format === 'jsonl') {
      const text = value?.['text'];
      if (!isText(text)) return 'is not a JSON object with text in the field "text"';
      if (text.trim() !== '') this.usable += 1;
      return undefined;
    }
    // Read as text, a carriage return ends a line.
    if (line.trimEnd().includes('\r')) return 'has a carriage return in its middle';
    const [good, bad] = [value?.['sentence_good'], value?.['sentence_bad']];
    if (!isText(good) || !isText(bad) || good.trim() === '' || bad.trim() === '' || good === bad) {
      return 'is not a JSON object with two different sentences in "sentence_good" and "sentence_bad"';
    }
    this.usable += 1;
    return this.usable > pairsMax
      ? `is beyond the ${pairsMax.toLocaleString('en')} pairs of one set`
      : undefined;
  }

  private fail(why: string): void {
    this.found ??= { offset: this.offset, why };
  }
}

function decode(chunks: readonly Uint8Array[], ignoreBOM: boolean): string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM });
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join('') + decoder.decode();
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A string that is text: JSON's escapes can also spell halves of a character, and NUL. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed() && !value.includes('\0');
}
