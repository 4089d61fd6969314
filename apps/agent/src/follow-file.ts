import { open } from 'node:fs/promises';

const readBytes = 262_144;
/** A longer line is no event: it is cut into pieces. */
const lineBytesMax = 8_388_608;

/** Reads what a growing file has got since the last look, line by line. */
export class FollowFile {
  private offset = 0;
  private rest = Buffer.alloc(0);

  constructor(private readonly path: string) {}

  get bytesRead(): number {
    return this.offset;
  }

  /** Complete lines since the last call; with `final`, also a last one without its end. */
  async lines(final = false): Promise<string[]> {
    const found: string[] = [];
    const file = await open(this.path, 'r').catch(() => undefined);
    if (file !== undefined) {
      try {
        for (;;) {
          const buffer = Buffer.alloc(readBytes);
          const { bytesRead } = await file.read(buffer, 0, readBytes, this.offset);
          if (bytesRead === 0) break;
          this.offset += bytesRead;
          this.take(buffer.subarray(0, bytesRead), found);
        }
      } finally {
        await file.close();
      }
    }
    if (final && this.rest.length > 0) {
      found.push(this.rest.toString('utf8'));
      this.rest = Buffer.alloc(0);
    }
    return found;
  }

  private take(bytes: Buffer, found: string[]): void {
    let data = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      found.push(data.subarray(0, end).toString('utf8'));
      data = data.subarray(end + 1);
    }
    if (data.length > lineBytesMax) {
      found.push(data.toString('utf8'));
      data = Buffer.alloc(0);
    }
    this.rest = Buffer.from(data);
  }
}
