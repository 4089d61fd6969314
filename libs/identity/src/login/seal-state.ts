import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const nonceByteCount = 12;
const tagByteCount = 16;

function keyOf(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', 'beamtime login state', 32));
}

/** Encrypts and signs what a browser carries for us between two requests of a login (AES-256-GCM). */
export function sealState(secret: string, state: unknown, expiresAtMs: number): string {
  const nonce = randomBytes(nonceByteCount);
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret), nonce);
  const sealed = Buffer.concat([
    cipher.update(JSON.stringify({ expiresAtMs, state }), 'utf8'),
    cipher.final(),
  ]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
}

/** What was sealed, or undefined if it is not ours, was changed, or is too old. */
export function openState(secret: string, text: string, nowMs: number): unknown {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length <= nonceByteCount + tagByteCount) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(secret), bytes.subarray(0, nonceByteCount));
    decipher.setAuthTag(bytes.subarray(nonceByteCount, nonceByteCount + tagByteCount));
    const open = Buffer.concat([
      decipher.update(bytes.subarray(nonceByteCount + tagByteCount)),
      decipher.final(),
    ]);
    const { expiresAtMs, state } = JSON.parse(open.toString('utf8')) as {
      expiresAtMs: number;
      state: unknown;
    };
    return expiresAtMs > nowMs ? state : undefined;
  } catch {
    // Changed, or sealed with another secret: as good as absent.
    return undefined;
  }
}
