import { S3ServiceException } from '@aws-sdk/client-s3';
import { type Problem, problem } from '@beamtime/kernel';
import type { NotFound, Unavailable } from './object-store.js';

type PutFailure =
  | Unavailable
  | Problem<'object-store.exists' | 'object-store.full' | 'object-store.too-large'>;
type ProblemOf = {
  put: PutFailure;
  get: NotFound | Unavailable | Problem<'object-store.bad-range'>;
  head: NotFound | Unavailable;
  delete: Unavailable;
  list: Unavailable;
};

/** Names under which S3 servers say that they have no room. */
const fullNames = ['InsufficientStorage', 'XMinioStorageFull', 'QuotaExceeded', 'QuotaExceededException'];

/** What a failed request to S3 means for the caller; throws what is no failure of S3 but ours. */
export function problemOfS3<Operation extends keyof ProblemOf>(
  error: unknown,
  key: string,
  operation: Operation,
): ProblemOf[Operation] {
  return (expected(error, key, operation) ?? unavailable(error)) as ProblemOf[Operation];
}

function expected(error: unknown, key: string, operation: keyof ProblemOf): Problem | undefined {
  if (!(error instanceof S3ServiceException)) return undefined;
  const status = error.$metadata.httpStatusCode;
  if (operation === 'put') {
    // 409: another conditional write of the same key is under way; it will be there.
    if (error.name === 'PreconditionFailed' || status === 412 || error.name === 'ConditionalRequestConflict')
      return problem('object-store.exists', `There is an object "${key}" already.`, { key });
    if (fullNames.includes(error.name) || status === 507)
      return problem(
        'object-store.full',
        'The object store has no room for this: delete what is no longer needed, or ask its operators for space.',
      );
    if (error.name === 'EntityTooLarge')
      return problem('object-store.too-large', 'The S3 server accepts no body as large as this.');
  }
  if ((operation === 'get' || operation === 'head') && ['NoSuchKey', 'NotFound'].includes(error.name))
    return problem('object-store.not-found', `There is no object "${key}".`, { key });
  if (operation === 'get' && (error.name === 'InvalidRange' || status === 416))
    return problem('object-store.bad-range', 'There is no such range in the object.');
  return undefined;
}

/** The server's own answer, or no answer at all; the SDK has tried again by itself before it says so. */
function unavailable(error: unknown): Unavailable {
  if (error instanceof S3ServiceException)
    return problem('server.unavailable', `The object store answered "${error.name}": try again later.`);
  if (isNetworkFailure(error))
    return problem('server.unavailable', 'The object store cannot be reached: try again later.');
  throw error;
}

function isNetworkFailure(error: unknown): boolean {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return (
    name === 'TimeoutError' ||
    (typeof code === 'string' && /^(E[A-Z]+|UND_ERR_[A-Z_]+)$/.test(code)) ||
    (error as { cause?: unknown }).cause !== undefined
  );
}
