import type { ProblemCode, Scope } from '@beamtime/contracts';
import {
  type AllocationId,
  type ApplicationId,
  err,
  type LabId,
  move,
  ok,
  type PersonId,
  type Problem,
  problem,
  type Result,
  statesBefore,
} from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { type AllocationState, allocationTransitions } from '../domain/application/application-state.js';
import type { Actor } from '../ports.js';

export interface Allocation {
  readonly allocationId: AllocationId;
  readonly applicationId: ApplicationId;
  readonly labId: LabId;
  readonly ownerId: PersonId;
  readonly memberIds: readonly PersonId[];
  readonly title: string;
  readonly models: readonly string[];
  readonly scopes: readonly Scope[];
  readonly startsAt: Date;
  readonly endsAt: Date;
  readonly state: AllocationState;
  readonly createdAt: Date;
}

export const allocationSelect = `
  SELECT id AS "allocationId", application_id AS "applicationId", lab_id AS "labId", owner_id AS "ownerId",
    member_ids AS "memberIds", title, models, scopes, starts_at AS "startsAt", ends_at AS "endsAt", state,
    created_at AS "createdAt" FROM access.allocation`;

type Refusal = Problem<ProblemCode>;

/** How somebody stands to an allocation: its people use it, its lab's delegates and the offices watch it. */
export type Standing = 'owner' | 'member' | 'lab' | 'secretariat' | 'auditor' | 'stranger';

export function standingTo(allocation: Allocation, actor: Actor): Standing {
  if (actor.personId === allocation.ownerId) return 'owner';
  if (allocation.memberIds.includes(actor.personId)) return 'member';
  if (actor.memberships.some(({ role }) => role === 'secretariat')) return 'secretariat';
  if (actor.memberships.some(({ role }) => role === 'auditor')) return 'auditor';
  const represents = actor.memberships.some(
    ({ role, labId }) => labId === allocation.labId && (role === 'delegate' || role === 'deputy'),
  );
  return represents ? 'lab' : 'stranger';
}

/** The allocation, if the actor stands to it in one of these ways. */
export async function admitToAllocation(
  tx: Tx,
  actor: Actor,
  allocationId: string,
  as: readonly Standing[],
  lock: 'FOR UPDATE' | '' = 'FOR UPDATE',
): Promise<Result<Allocation, Refusal>> {
  const allocation = await tx.row<Allocation>(`${allocationSelect} WHERE id = $1 ${lock}`, [allocationId]);
  if (allocation === undefined) {
    return err(problem('resource.not-found', `There is no allocation ${allocationId}`));
  }
  const standing = standingTo(allocation, actor);
  return as.includes(standing)
    ? ok(allocation)
    : err(problem('auth.forbidden', `This is for ${as.join(', ')} of the allocation ${allocationId}`));
}

export interface AllocationEvent {
  readonly action: string;
  readonly from: AllocationState | null;
  readonly to: AllocationState;
  readonly actor: string;
  readonly reason?: string | undefined;
}

export async function noteAllocationEvent(
  tx: Tx,
  allocationId: string,
  event: AllocationEvent,
): Promise<void> {
  await tx.rows(
    `INSERT INTO access.allocation_event (allocation_id, action, from_state, to_state, actor, reason)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [allocationId, event.action, event.from, event.to, event.actor, event.reason ?? null],
  );
  await tx.audit({
    actor: event.actor,
    action: `allocation.${event.action}`,
    subject: allocationId,
    details: { from: event.from, to: event.to },
  });
}

/** Moves an allocation by the table, with its event and audit entry. */
export async function moveAllocation(
  tx: Tx,
  allocation: Allocation,
  step: { action: string; to: AllocationState; actor: string; reason?: string | undefined },
): Promise<Result<Allocation, Refusal>> {
  const moved = move(allocationTransitions, 'The allocation', allocation.state, step.to);
  if (!moved.ok) return moved;
  const changed = await tx.changed(
    'UPDATE access.allocation SET state = $2 WHERE id = $1 AND state = ANY ($3)',
    [allocation.allocationId, step.to, statesBefore(allocationTransitions, step.to)],
  );
  if (changed === 0)
    return err(problem('state.conflict', 'Somebody else changed the allocation; look again'));
  await noteAllocationEvent(tx, allocation.allocationId, { ...step, from: allocation.state });
  return ok({ ...allocation, state: step.to });
}
