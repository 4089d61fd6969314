import { deny, labsOf, type PersonPrincipal } from '@beamtime/platform';

/** Who acts for a lab belongs to it; refused with `auth.forbidden` otherwise. */
export function requireLab(caller: PersonPrincipal, labId: string | undefined): void {
  if (labId !== undefined && !(labsOf(caller) as string[]).includes(labId)) {
    deny('auth.forbidden', `You do not belong to ${labId}; name a lab of yours`);
  }
}
