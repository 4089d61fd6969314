import type { ProblemCode, Scope } from '@beamtime/contracts';
import { type ApiKeyId, err, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type Actor, API_KEYS, type ApiKeys } from '../ports.js';
import { admitToAllocation } from './allocation-store.js';

type Refusal = Problem<ProblemCode>;

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
