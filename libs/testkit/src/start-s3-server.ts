import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';

/** A real S3 server for tests, started for them or named by S3_ENDPOINT. */
export interface S3TestServer {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** moto takes requests of anybody with any checksum; the real ones do not. */
  readonly isMoto: boolean;
  stop(): Promise<void>;
}

/** Where `npm test` installs moto, beside what is on the path. */
const motoFolder = '.beamtime/s3-test-venv/bin';
const readyTimeoutMs = 30_000;

/** Says why there is none, for the skipped test's message. */
export const noS3Server =
  'no S3 server: set S3_ENDPOINT and S3_BUCKET, or have moto_server (pip install "moto[server]") on the path';

/** The S3 server that the environment names, else moto of our own; undefined when neither can be had. */
export async function startS3Server(): Promise<S3TestServer | undefined> {
  const { S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = process.env;
  if (S3_ENDPOINT && S3_BUCKET)
    return {
      endpoint: S3_ENDPOINT,
      bucket: S3_BUCKET,
      region: S3_REGION ?? 'us-east-1',
      credentials: { accessKeyId: S3_ACCESS_KEY_ID ?? '', secretAccessKey: S3_SECRET_ACCESS_KEY ?? '' },
      isMoto: false,
      stop: async () => undefined,
    };
  const command = findMoto();
  if (!command) return undefined;
  const port = await freePort();
  const server = spawn(command, ['-H', '127.0.0.1', '-p', String(port)], {
    stdio: 'ignore',
  });
  const endpoint = `http://127.0.0.1:${port}`;
  const bucket = 'beamtime-test';
  try {
    await waitUntilReady(endpoint, server);
    // moto asks nobody who they are, so a bucket is made by a plain request.
    await fetch(`${endpoint}/${bucket}`, { method: 'PUT' });
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
  return {
    endpoint,
    bucket,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    isMoto: true,
    stop: () => stopServer(server),
  };
}

function findMoto(): string | undefined {
  return [motoFolder, ...(process.env['PATH'] ?? '').split(delimiter)]
    .map((folder) => join(folder, 'moto_server'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

async function waitUntilReady(endpoint: string, server: ChildProcess): Promise<void> {
  for (const deadlineMs = Date.now() + readyTimeoutMs; Date.now() < deadlineMs; ) {
    if (server.exitCode !== null) throw new Error(`moto_server ended with ${server.exitCode}`);
    const answer = await fetch(endpoint).catch(() => undefined);
    if (answer) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`moto_server is not ready after ${readyTimeoutMs / 1000} s`);
}

function stopServer(server: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (server.exitCode !== null || server.signalCode !== null) return resolve();
    server.once('exit', () => resolve());
    server.kill('SIGTERM');
  });
}
