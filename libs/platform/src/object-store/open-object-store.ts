import { join } from 'node:path';
import type { Config } from '../config/load-config.js';
import { type LocalObjectStore, openLocalObjectStore } from './local-object-store.js';
import type { ObjectStore } from './object-store.js';
import { openS3ObjectStore } from './s3-object-store.js';

/** DI token of the process's object store. */
export const OBJECT_STORE = Symbol('ObjectStore');

/** S3 when a bucket is configured, otherwise a folder of the state directory whose URLs this process serves. */
export async function openObjectStore(config: Config): Promise<ObjectStore> {
  if (config.S3_BUCKET !== undefined) {
    return openS3ObjectStore({
      bucket: config.S3_BUCKET,
      region: config.S3_REGION,
      ...(config.S3_ENDPOINT === undefined ? {} : { endpoint: config.S3_ENDPOINT }),
      ...(config.S3_PUBLIC_ENDPOINT === undefined ? {} : { publicEndpoint: config.S3_PUBLIC_ENDPOINT }),
      ...(config.S3_ACCESS_KEY_ID === undefined || config.S3_SECRET_ACCESS_KEY === undefined
        ? {}
        : {
            credentials: {
              accessKeyId: config.S3_ACCESS_KEY_ID,
              secretAccessKey: config.S3_SECRET_ACCESS_KEY,
            },
          }),
    });
  }
  return openLocalObjectStore({
    folder: join(config.BEAMTIME_STATE_DIR, 'objects'),
    baseUrl: () => publicUrlOf(config),
    secret: config.BEAMTIME_SECRET,
  });
}

/** The address under which clients reach this process. */
export function publicUrlOf(config: Config): string {
  return config.BEAMTIME_PUBLIC_URL ?? `http://${config.BEAMTIME_HOST}:${config.PORT}`;
}

/** Whether the store's URLs have to be served by this process. */
export function isLocalObjectStore(store: ObjectStore): store is LocalObjectStore {
  return 'leaveOf' in store;
}
