import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import type { Problem } from '@beamtime/kernel';
import { problem } from '@beamtime/kernel';

export type BodyProblem = Problem<'object-store.too-large' | 'object-store.checksum-mismatch'>;

/** Breaks a stream of bytes off with a problem that its reader can tell from a failure of the machine. */
export class BodyRefused extends Error {
  override readonly name = 'BodyRefused';
  constructor(readonly problem: BodyProblem) {
    super(problem.detail);
  }
}

/**
 * Passes bytes on while it counts and digests them. A body that is longer or shorter than announced, or has
 * another digest, ends with BodyRefused. The last chunk is held back until all is known to be well: a server that
 * already had every byte would store them.
 */
export function meteredStream(sizeBytes: number, sha256?: string): Transform & { digest(): string } {
  const hash = createHash('sha256');
  let seenBytes = 0;
  let digest = '';
  let heldBack: Buffer | undefined;
  const transform = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seenBytes += chunk.length;
      hash.update(chunk);
      if (seenBytes > sizeBytes) return done(new BodyRefused(tooLarge(sizeBytes)));
      const ready = heldBack;
      heldBack = chunk;
      done(null, ready);
    },
    flush(done) {
      digest = hash.digest('hex');
      if (seenBytes < sizeBytes) done(new BodyRefused(tooShort(seenBytes, sizeBytes)));
      else if (sha256 !== undefined && sha256 !== digest) done(new BodyRefused(wrongDigest(sha256, digest)));
      else done(null, heldBack);
    },
  });
  return Object.assign(transform, { digest: () => digest });
}

export function tooLarge(announcedBytes: number): BodyProblem {
  return problem('object-store.too-large', `The body is longer than the ${announcedBytes} bytes announced.`, {
    announcedBytes,
  });
}

function tooShort(seenBytes: number, announcedBytes: number): BodyProblem {
  return problem(
    'object-store.checksum-mismatch',
    `The body ended after ${seenBytes} of the ${announcedBytes} bytes announced: send it again.`,
    { seenBytes, announcedBytes },
  );
}

export function wrongDigest(expected: string, actual: string): BodyProblem {
  return problem(
    'object-store.checksum-mismatch',
    `The body's sha256 is ${actual}, not ${expected} as announced: send it again.`,
    { expected, actual },
  );
}
