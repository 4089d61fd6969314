import type { ProblemCode, Scope } from '@beamtime/contracts';
import {
  type AllocationId,
  type ApiKeyId,
  err,
  type PersonId,
  type Problem,
  problem,
  type Result,
} from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Actor } from '../ports.js';
import { admitToAllocation } from './allocation-store.js';

type Refusal = Problem<ProblemCode>;

/** What access needs of whoever keeps keys; the app joins it to identity. */
export interface ApiKeys {
  create(
    tx: Tx,
    wanted: {
      readonly allocationId: AllocationId;
      readonly personId: PersonId;
      readonly scopes: readonly Scope[];
      readonly label: string;
      readonly expiresAt: Date | null;
    },
  ): Promise<Result<{ readonly keyId: ApiKeyId; readonly token: string }, Refusal>>;
}
export const API_KEYS = Symbol('ApiKeys');

export interface CreatedKey {
  readonly keyId: ApiKeyId;
  readonly token: string;
  readonly scopes: readonly Scope[];
  readonly expiresAt: Date | null;
}

/** Makes an API key for one of the people of an allocation, never wider or longer than the allocation. */
@Injectable()
export class CreateKey {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(API_KEYS) private readonly keys: ApiKeys,
  ) {}

  async execute(
    actor: Actor,
    allocationId: string,
    wanted: {
      readonly label: string;
      readonly scopes?: readonly Scope[] | undefined;
      readonly expiresAt?: string | undefined;
    },
  ): Promise<Result<CreatedKey, Refusal>> {
    return this.transactor.run<CreatedKey, Refusal>(async (tx) => {
      const admitted = await admitToAllocation(tx, actor, allocationId, ['owner', 'member']);
      if (!admitted.ok) return admitted;
      const allocation = admitted.value;
      if (allocation.state !== 'active' || allocation.endsAt <= new Date()) {
        return err(problem('access.allocation-inactive', `The allocation is ${allocation.state} or over`));
      }
      const scopes = wanted.scopes ?? allocation.scopes;
      const extra = scopes.filter((scope) => !allocation.scopes.includes(scope));
      if (extra.length > 0) {
        return err(
          problem('auth.scope-missing', `The allocation does not grant ${extra.join(', ')}`, {
            granted: allocation.scopes,
          }),
        );
      }
      // Without an end of its own the key lives as long as the allocation, however far that is extended.
      const expiresAt =
        wanted.expiresAt === undefined
          ? null
          : new Date(Math.min(Date.parse(wanted.expiresAt), allocation.endsAt.getTime()));
      const { personId } = actor;
      const made = await this.keys.create(tx, {
        allocationId: allocation.allocationId,
        personId,
        scopes,
        label: wanted.label,
        expiresAt,
      });
      return made.ok ? { ok: true, value: { ...made.value, scopes, expiresAt } } : made;
    });
  }
}
