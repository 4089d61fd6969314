import type {
  AccountBalance,
  Application,
  JournalLine,
  ReadAllocations,
  ReadApplications,
} from '@beamtime/access';
import type { AllocationWire, ApplicationWire, listUsage, ResponseOf } from '@beamtime/contracts';

/** How what the context knows is written on the wire. */

type Details = Extract<Awaited<ReturnType<ReadApplications['show']>>, { ok: true }>['value'];
type Allocations = Awaited<ReturnType<ReadAllocations['list']>>['items'];
type Usage = Extract<Awaited<ReturnType<ReadAllocations['usage']>>, { ok: true }>['value'];

const time = (at: Date): string => at.toISOString();
const timeOrNull = (at: Date | null): string | null => at?.toISOString() ?? null;

export function applicationWire(application: Application): ApplicationWire {
  const { coApplicants, declaredConflicts: _, ...rest } = application;
  return {
    ...rest,
    coApplicantIds: coApplicants.map((one) => one.personId),
    models: [...rest.models],
    scopes: [...rest.scopes],
    requested: [...rest.requested],
    startsAt: time(rest.startsAt),
    endsAt: time(rest.endsAt),
    createdAt: time(rest.createdAt),
    updatedAt: time(rest.updatedAt),
  };
}

export function reviewWire(review: Details['reviews'][number]) {
  return {
    ...review,
    assignedAt: time(review.assignedAt),
    recommendedAt: timeOrNull(review.recommendedAt),
  };
}

export function detailsWire(details: Details) {
  return {
    ...applicationWire(details.application),
    mayI: details.mayI,
    reviews: details.reviews.map(reviewWire),
    events: eventsWire(details.events),
  };
}

export function eventsWire(events: Details['events']) {
  return events.map((event) => ({ ...event, at: time(event.at) }));
}

export function allocationWire(allocation: Allocations[number]): AllocationWire {
  return {
    ...allocation,
    memberIds: [...allocation.memberIds],
    models: [...allocation.models],
    scopes: [...allocation.scopes],
    balances: [...allocation.balances],
    startsAt: time(allocation.startsAt),
    endsAt: time(allocation.endsAt),
    createdAt: time(allocation.createdAt),
  };
}

export function usageWire(usage: Usage): ResponseOf<typeof listUsage> {
  return {
    items: usage.items.map((item) => ({
      ...item,
      at: time(item.at),
      settledAt: timeOrNull(item.settledAt),
    })),
    totals: [...usage.totals],
  };
}

export function accountWire(account: AccountBalance) {
  return {
    ...account,
    opensAt: timeOrNull(account.opensAt),
    closesAt: timeOrNull(account.closesAt),
    grants: [...account.grants],
  };
}

export function journalWire(line: JournalLine) {
  const { details: _, ...rest } = line;
  return { ...rest, at: time(line.at), expiresAt: timeOrNull(line.expiresAt) };
}
