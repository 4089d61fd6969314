import type { ApiKeyPrincipal, PersonPrincipal, Principal } from '@beamtime/platform';
import { deny, hasRole, labsOf } from '@beamtime/platform';
import type { TaskReader } from '@beamtime/scheduling';

/** Who uses tasks and spaces: a person for their labs, or a key for its allocation. */
export type TaskCaller = PersonPrincipal | ApiKeyPrincipal;

/** The endpoints admit nobody else; the types do not know. */
export function taskCaller(principal: Principal | undefined): TaskCaller {
  if (principal === undefined || principal.kind === 'agent') deny('auth.forbidden', 'Agents may not do this');
  return principal;
}

export function spacesOf(caller: TaskCaller): string[] {
  return caller.kind === 'person' ? labsOf(caller) : [caller.allocationId];
}

/** The secretariat sees every task; others those of their labs or allocation, and their own. */
export function readerOf(caller: TaskCaller): TaskReader {
  return {
    spaces: caller.kind === 'person' && hasRole(caller, 'secretariat') ? null : spacesOf(caller),
    personId: caller.personId,
  };
}
