import type { Result } from '@beamtime/kernel';
import type { Transactor, Tx } from '@beamtime/platform';

/** Runs work in the caller's transaction where there is one, so that it commits with the caller's own changes. */
export function within<T, E>(
  transactor: Transactor,
  tx: Tx | undefined,
  work: (tx: Tx) => Promise<Result<T, E>>,
): Promise<Result<T, E>> {
  return tx === undefined ? transactor.run(work) : work(tx);
}
