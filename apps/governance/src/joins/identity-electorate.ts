import type { Electorate, ElectorateLab } from '@beamtime/governance';
import { Directory } from '@beamtime/identity';
import { Inject, Injectable } from '@nestjs/common';

/** Joins governance to identity: the labs and their people as they are now. */
@Injectable()
export class IdentityElectorate implements Electorate {
  constructor(@Inject(Directory) private readonly directory: Directory) {}

  async labs(): Promise<ElectorateLab[]> {
    const labs = await this.directory.labs();
    return Promise.all(
      labs.map(async ({ labId, name, contributionWeight, inArrears }) => {
        const members = await this.directory.members(labId);
        const people = members.map(({ personId, role }) => ({ personId, role }));
        return { labId, name, contributionWeight, inArrears, people };
      }),
    );
  }
}
