import {
  capsByPolicy,
  type PolicyInForce,
  type PolicyModel,
  type ProblemCode,
  refusalByPolicy,
  type Scope,
} from '@beamtime/contracts';
import {
  type AllocationId,
  type ApiKeyId,
  err,
  type HoldId,
  ok,
  type PersonId,
  type Problem,
  problem,
  type Result,
  type Unit,
} from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { AllocationState } from '../domain/application/application-state.js';
import { covers } from '../domain/application/model-pattern.js';
import { type AccountOwner, allocationAccount, personAccount } from '../domain/ledger/account-owner.js';
import type { Hold } from '../domain/ledger/ledger-command.js';
import { Ledger } from '../ledger/ledger.js';
import { refusalByCap } from './refuse-by-cap.js';

type Refusal = Problem<ProblemCode>;

/** A request may take this long before its hold goes back; longer than any gateway timeout. */
export const requestHoldTtlMs = 15 * 60_000;

export interface UseRequest {
  readonly allocationId: AllocationId | string;
  /** For whom the key acts. */
  readonly personId: PersonId | string;
  readonly keyId?: ApiKeyId | string | undefined;
  /** Scopes of the key that asks. */
  readonly scopes: readonly Scope[];
  /** Quoted in usage records; the hold does not depend on it, since clients may choose it. */
  readonly requestId: string;
  readonly model: PolicyModel;
  readonly revision?: string | undefined;
  readonly scope: Scope;
  readonly unit: Unit;
  readonly amount: number;
  readonly ttlMs?: number;
  /** Made by the caller to be able to ask again; minted here otherwise. */
  readonly holdId?: HoldId;
}

export interface UseHold {
  readonly holdId: HoldId;
  readonly amount: number;
  readonly expiresAt: string | null;
}

interface Standing {
  state: AllocationState;
  starts_at: Date;
  ends_at: Date;
  lab_id: string;
  models: string[];
  scopes: Scope[];
  policies: PolicyInForce[] | null;
  share: AccountOwner | null;
}

/**
 * Admits requests to models: nothing runs without a hold, and each hold is settled once. A refusal costs nothing. In
 * process for the gateway; many requests share a commit.
 */
@Injectable()
export class Metering {
  constructor(
    @Inject(Ledger) private readonly ledger: Ledger,
    @Inject(Transactor) private readonly transactor: Transactor,
  ) {}

  /** Sets units aside for one request, or says why it may not run. */
  async authorise(request: UseRequest): Promise<Result<UseHold, Refusal>> {
    const standing = await this.standingOf(request);
    if (standing === undefined) {
      return err(problem('access.allocation-inactive', `There is no allocation ${request.allocationId}`));
    }
    const refusal = refusalOf(request, standing);
    if (refusal !== null) return err(refusal);
    const caps = capsByPolicy(standing.policies ?? [], request.model, standing.lab_id);
    const hold: Omit<Hold, 'kind'> = {
      id: request.holdId ?? newId('Hold'),
      unit: request.unit,
      account: standing.share ?? allocationAccount(request.allocationId),
      amount: request.amount,
      ttlMs: request.ttlMs ?? requestHoldTtlMs,
      reference: request.requestId,
      actor: request.personId,
      details: {
        allocationId: request.allocationId,
        labId: standing.lab_id,
        personId: request.personId,
        keyId: request.keyId ?? null,
        modelId: request.model.modelId,
        revision: request.revision ?? null,
        scope: request.scope,
        caps: caps.map(({ policyId }) => policyId),
      },
    };
    if (caps.length === 0) return this.hold(hold);
    return this.transactor.run(async (tx) => {
      const held = await this.hold(hold, tx);
      if (!held.ok) return held;
      // With the hold the ledger of this unit is locked until the commit, so what is counted now stays true.
      for (const cap of caps) {
        const over = await refusalByCap(tx, cap, hold);
        if (over !== null) return err(over);
      }
      return held;
    });
  }

  /**
   * Charges what a request used and gives the rest back; sent again, it changes nothing. Who used more than was held
   * is charged all of the hold and no more: the hold was the promise.
   */
  async settle(
    holdId: HoldId | string,
    used: number,
    facts: Readonly<Record<string, unknown>> = {},
  ): Promise<Result<{ used: number }, Refusal>> {
    const actor = 'facility:gateway';
    const posted = await this.ledger.post({ hold: holdId, amount: used, actor, details: facts });
    if (posted.ok) return ok({ used });
    if (posted.error.code !== 'limit.exceeded') return posted;
    const held = Number(posted.error.facts?.['held']);
    const details = { ...facts, usedBeyondHold: used - held };
    const all = await this.ledger.post({ hold: holdId, amount: held, actor, details });
    return all.ok ? ok({ used: held }) : all;
  }

  /** Gives all of a hold back: the request failed or never ran. */
  async release(holdId: HoldId | string, reason = 'not run'): Promise<Result<void, Refusal>> {
    const voided = await this.ledger.void({ hold: holdId, actor: 'facility:gateway', details: { reason } });
    return voided.ok ? ok(undefined) : voided;
  }

  /** The models that an allocation covers: `*`, suite ids and model ids; empty when it is not active. */
  async grantedModels(allocationId: AllocationId | string): Promise<readonly string[]> {
    const row = await this.transactor.read.row<{ models: string[] }>(
      `SELECT models FROM access.allocation WHERE id = $1 AND state = 'active' AND starts_at <= now() AND ends_at > now()`,
      [allocationId],
    );
    return row?.models ?? [];
  }

  private async hold(hold: Omit<Hold, 'kind'>, tx?: Tx): Promise<Result<UseHold, Refusal>> {
    const held = await this.ledger.hold(hold, tx);
    if (!held.ok) {
      // An account is opened for each unit that is granted: none means that nothing was.
      if (held.error.code !== 'resource.not-found') return held;
      const facts = { unit: hold.unit, available: 0, requested: hold.amount };
      return err(problem('access.insufficient-units', `The allocation grants no ${hold.unit}`, facts));
    }
    if (held.value.state !== 'pending') {
      return err(problem('access.hold-settled', `The hold ${hold.id} is ${held.value.state} already`));
    }
    return ok({ holdId: hold.id as HoldId, amount: hold.amount, expiresAt: held.value.expiresAt ?? null });
  }

  private async standingOf(request: UseRequest): Promise<Standing | undefined> {
    return this.transactor.read.row<Standing>(
      `SELECT a.state, a.starts_at, a.ends_at, a.lab_id, a.models, a.scopes,
         (SELECT jsonb_agg(jsonb_build_object('policyId', p.policy_id, 'rule', p.rule) ORDER BY p.adopted_at, p.policy_id)
           FROM access.policy p WHERE p.ended_at IS NULL) AS policies,
         (SELECT owner FROM access.account WHERE unit = $2 AND owner = $3) AS share
       FROM access.allocation a WHERE a.id = $1`,
      [request.allocationId, request.unit, personAccount(request.allocationId, request.personId)],
    );
  }
}

/** Why a request may not run, apart from the units that it needs. */
function refusalOf(request: UseRequest, standing: Standing): Refusal | null {
  const now = new Date();
  if (standing.state !== 'active' || now < standing.starts_at || now >= standing.ends_at) {
    const period = `from ${standing.starts_at.toISOString()} to ${standing.ends_at.toISOString()}`;
    return problem('access.allocation-inactive', `The allocation is ${standing.state}, ${period}`);
  }
  const missing = !request.scopes.includes(request.scope)
    ? 'key'
    : !standing.scopes.includes(request.scope)
      ? 'allocation'
      : null;
  if (missing !== null) {
    return problem('auth.scope-missing', `The ${missing} does not carry the scope ${request.scope}`);
  }
  if (!covers(standing.models, request.model)) {
    return problem(
      'access.model-not-granted',
      `The allocation does not cover the model ${request.model.modelId}`,
    );
  }
  const denied = refusalByPolicy(standing.policies ?? [], {
    scope: request.scope,
    model: request.model,
    labId: standing.lab_id,
    now,
  });
  return denied === null
    ? null
    : problem('access.policy-denied', denied.detail, { policyId: denied.policyId });
}
