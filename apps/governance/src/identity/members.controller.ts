import {
  grantConsortiumRole,
  grantLabRole,
  type InputOf,
  listConsortiumMembers,
  listMembers,
  type ResponseOf,
  revokeConsortiumRole,
  revokeLabRole,
} from '@beamtime/contracts';
import { Directory, GrantMembership, memberWire, RevokeMembership } from '@beamtime/identity';
import { Endpoint, Input, Person, type PersonPrincipal, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** Who holds which role, in labs and in the consortium. */
@Controller()
export class MembersController {
  constructor(
    @Inject(Directory) private readonly directory: Directory,
    @Inject(GrantMembership) private readonly grantMembership: GrantMembership,
    @Inject(RevokeMembership) private readonly revokeMembership: RevokeMembership,
  ) {}

  @Endpoint(listMembers)
  async list(
    @Input() { params }: InputOf<typeof listMembers>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof listMembers>> {
    const { labId } = unwrap(await this.directory.lab(params.lab));
    const members = await this.directory.members(labId);
    return { items: members.map((member) => memberWire(member, caller)) };
  }

  @Endpoint(grantLabRole)
  async grant(
    @Input() { params, body }: InputOf<typeof grantLabRole>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof grantLabRole>> {
    return memberWire(
      unwrap(await this.grantMembership.execute(caller, params.lab, body, body.role)),
      caller,
    );
  }

  @Endpoint(revokeLabRole)
  async revoke(
    @Input() { params }: InputOf<typeof revokeLabRole>,
    @Person() caller: PersonPrincipal,
  ): Promise<void> {
    unwrap(await this.revokeMembership.execute(caller, params.lab, params.personId, params.role));
  }

  @Endpoint(listConsortiumMembers)
  async listConsortium(@Person() caller: PersonPrincipal): Promise<ResponseOf<typeof listConsortiumMembers>> {
    const members = await this.directory.members(null);
    return { items: members.map((member) => memberWire(member, caller)) };
  }

  @Endpoint(grantConsortiumRole)
  async grantConsortium(
    @Input() { body }: InputOf<typeof grantConsortiumRole>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof grantConsortiumRole>> {
    return memberWire(unwrap(await this.grantMembership.execute(caller, null, body, body.role)), caller);
  }

  @Endpoint(revokeConsortiumRole)
  async revokeConsortium(
    @Input() { params }: InputOf<typeof revokeConsortiumRole>,
    @Person() caller: PersonPrincipal,
  ): Promise<void> {
    unwrap(await this.revokeMembership.execute(caller, null, params.personId, params.role));
  }
}
