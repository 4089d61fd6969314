import { LoginModule } from '@beamtime/identity';
import { Module } from '@nestjs/common';
import { AuthController } from './auth.controller.js';
import { KeysController } from './keys.controller.js';
import { LabsController } from './labs.controller.js';
import { MembersController } from './members.controller.js';
import { PeopleController } from './people.controller.js';

/** Logins, labs, members, people and keys over HTTP. Needs PlatformModule and IdentityModule beside it. */
@Module({
  imports: [LoginModule],
  controllers: [AuthController, LabsController, MembersController, PeopleController, KeysController],
})
export class IdentityControllersModule {}
