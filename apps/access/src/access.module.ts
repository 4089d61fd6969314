import {
  AcceptAward,
  AccessReconciler,
  API_KEYS,
  type ApiKeys,
  Apply,
  ChangeAllocation,
  ChangeDraft,
  CreateKey,
  DecideApplication,
  DeclareConflict,
  LedgerModule,
  LimitPerson,
  PEOPLE,
  type People,
  ReadAllocations,
  ReadApplications,
  Recommend,
  SubmitApplication,
  TakeReview,
  WithdrawApplication,
} from '@beamtime/access';
import { CreateApiKey, Directory } from '@beamtime/identity';
import { ok } from '@beamtime/kernel';
import { Module } from '@nestjs/common';
import { AllocationsController } from './allocations.controller.js';
import { ApplicationsController } from './applications.controller.js';
import { BooksController } from './books.controller.js';
import { FollowDecisions } from './follow-decisions.js';

/** The access service: applications, allocations and the books, joined to identity. */
@Module({
  imports: [LedgerModule],
  controllers: [ApplicationsController, AllocationsController, BooksController],
  providers: [
    Apply,
    ReadApplications,
    ChangeDraft,
    SubmitApplication,
    WithdrawApplication,
    TakeReview,
    Recommend,
    DeclareConflict,
    DecideApplication,
    AcceptAward,
    ReadAllocations,
    ChangeAllocation,
    CreateKey,
    LimitPerson,
    AccessReconciler,
    FollowDecisions,
    {
      provide: PEOPLE,
      inject: [Directory],
      useFactory: (directory: Directory): People => ({
        membershipsOf: async (tx, personId) => (await directory.person(personId, tx))?.memberships,
      }),
    },
    {
      provide: API_KEYS,
      inject: [CreateApiKey],
      useFactory: (createApiKey: CreateApiKey): ApiKeys => ({
        create: async (tx, wanted) => {
          const made = await createApiKey.execute({ ...wanted, createdBy: wanted.personId }, tx);
          return made.ok ? ok({ keyId: made.value.key.keyId, token: made.value.token }) : made;
        },
      }),
    },
  ],
})
export class AccessServiceModule {}
