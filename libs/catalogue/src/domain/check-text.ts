/** What is wrong with bytes that should be text, and where. */
export interface TextFault {
  readonly offset: number;
  readonly why: string;
}

const lead = 0;

/**
 * Checks UTF-8 as it streams by, without keeping it: well-formed by the Unicode standard (no overlong forms, no
 * surrogates, nothing beyond U+10FFFF) and without NUL, which no text has and nearly every binary file does.
 */
export class TextCheck {
  private offset = 0;
  /** Continuation bytes still to come, and the range of the next one. */
  private pending = lead;
  private least = 0x80;
  private most = 0xbf;
  private characterStart = 0;
  private found: TextFault | undefined;
  /** Whether anything but white space has come. */
  private saysSomething = false;

  /** Takes the next bytes; the first fault of all bytes so far. */
  take(chunk: Uint8Array): TextFault | undefined {
    for (let index = 0; index < chunk.length && this.found === undefined; index++) {
      const byte = chunk[index] ?? 0;
      if (this.pending === lead) {
        if (!isBlank(byte)) this.saysSomething = true;
        if (byte > 0 && byte < 0x80) continue;
        this.characterStart = this.offset + index;
        this.begin(byte);
      } else {
        this.follow(byte, this.offset + index);
      }
    }
    this.offset += chunk.length;
    return this.found;
  }

  /** The verdict when nothing more comes. */
  end(): TextFault | undefined {
    if (this.found !== undefined) return this.found;
    if (this.offset === 0) return { offset: 0, why: 'it is empty' };
    if (this.pending !== lead) {
      return { offset: this.characterStart, why: 'it ends in the middle of a character' };
    }
    if (!this.saysSomething) return { offset: 0, why: 'it is nothing but white space' };
    return undefined;
  }

  private begin(byte: number): void {
    const at = this.characterStart;
    if (byte === 0) this.found = { offset: at, why: 'a NUL byte: it is not text' };
    else if (byte >= 0xc2 && byte <= 0xdf) this.expect(1);
    else if (byte === 0xe0) this.expect(2, 0xa0);
    else if (byte === 0xed) this.expect(2, 0x80, 0x9f);
    else if (byte >= 0xe1 && byte <= 0xef) this.expect(2);
    else if (byte === 0xf0) this.expect(3, 0x90);
    else if (byte >= 0xf1 && byte <= 0xf3) this.expect(3);
    else if (byte === 0xf4) this.expect(3, 0x80, 0x8f);
    else this.found = { offset: at, why: `byte ${hex(byte)} cannot begin a character of UTF-8` };
  }

  private expect(pending: number, least = 0x80, most = 0xbf): void {
    this.saysSomething = true;
    this.pending = pending;
    this.least = least;
    this.most = most;
  }

  private follow(byte: number, at: number): void {
    if (byte < this.least || byte > this.most) {
      this.found = { offset: at, why: `byte ${hex(byte)} cannot continue a character of UTF-8` };
      return;
    }
    this.expect(this.pending - 1);
  }
}

/** Tab, line feed, vertical tab, form feed, carriage return, space. */
function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
