import { ReadAllocations } from '@beamtime/access';
import { anyone, type Viewer } from '@beamtime/catalogue';
import { hasRole, labsOf, type Principal } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';

/** Which private models a caller may see: joins identity and access with the catalogue. */
@Injectable()
export class Viewers {
  constructor(@Inject(ReadAllocations) private readonly allocations: ReadAllocations) {}

  async of(principal: Principal | undefined): Promise<Viewer> {
    switch (principal?.kind) {
      case 'person':
        return {
          seesAll: hasRole(principal, 'secretariat') || hasRole(principal, 'auditor'),
          labIds: labsOf(principal),
          grantedModelIds: [],
        };
      case 'api-key': {
        const { allocationId } = principal;
        const found = await this.allocations.show({ allocationId }, allocationId);
        const granted =
          found.ok && found.value.allocation.state === 'active' ? found.value.allocation.models : [];
        return { ...anyone, grantedModelIds: [...granted] };
      }
      case 'agent':
        return { ...anyone, labIds: [principal.labId] };
      default:
        return anyone;
    }
  }
}
