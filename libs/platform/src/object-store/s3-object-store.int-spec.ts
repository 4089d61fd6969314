import { noS3Server, startS3Server } from '@beamtime/testkit';
import { describe, expect, it } from 'vitest';
import { objectStoreConformance } from './conformance.js';
import { openS3ObjectStore } from './s3-object-store.js';

const server = await startS3Server();

if (server) {
  objectStoreConformance(server.isMoto ? 'S3 (moto)' : `S3 (${server.endpoint})`, async () => {
    const store = openS3ObjectStore(server);
    return {
      store,
      checksPresignedDigest: !server.isMoto,
      close: async () => {
        store.close();
        await server.stop();
      },
    };
  });
} else {
  console.warn(`SKIPPED: the object store on S3, ${noS3Server}`);
  it.skip(`the object store on S3: ${noS3Server}`);
}

describe('the S3 adapter', () => {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const nowhere = () =>
    openS3ObjectStore({
      endpoint: 'http://127.0.0.1:9',
      bucket: 'nothing',
      region: 'us-east-1',
      credentials,
    });

  it('says that the server cannot be reached, and throws nothing', async () => {
    const store = nowhere();
    const results = [
      await store.check(),
      await store.put('a', Buffer.from('x')),
      await store.get('a'),
      await store.head('a'),
      await store.list(''),
      await store.delete('a'),
    ];
    for (const result of results)
      expect(result).toMatchObject({ ok: false, error: { code: 'server.unavailable' } });
    store.close();
  });

  it('signs the length, the type and the digest into a URL to write, under the address for outside', async () => {
    const store = openS3ObjectStore({
      endpoint: 'http://s3.internal:9000',
      publicEndpoint: 'https://s3.example.org',
      bucket: 'models',
      region: 'us-east-1',
      credentials,
    });
    const sha256 = 'a'.repeat(64);
    const leave = await store.presignPut('a/b', {
      ttlMs: 60_000,
      sizeBytes: 5,
      sha256,
      contentType: 'text/plain',
    });
    if (!leave.ok) throw new Error(leave.error.detail);
    const url = new URL(leave.value.url);
    expect(url.origin + url.pathname).toBe('https://s3.example.org/models/a/b');
    expect(url.searchParams.get('X-Amz-Expires')).toBe('60');
    expect(url.searchParams.get('X-Amz-SignedHeaders')?.split(';').sort()).toEqual([
      'content-length',
      'content-type',
      'host',
      'x-amz-checksum-sha256',
    ]);
    expect(leave.value.headers).toEqual({
      'content-type': 'text/plain',
      'x-amz-checksum-sha256': Buffer.from(sha256, 'hex').toString('base64'),
    });
    store.close();
  });
});
