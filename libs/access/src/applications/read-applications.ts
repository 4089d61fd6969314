import { err, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type ApplicationState, reviewableStates } from '../domain/application/application-state.js';
import { type Relation, relationTo } from '../domain/application/relation.js';
import type { Actor } from '../ports.js';
import {
  type Application,
  admitTo,
  applicationSelect,
  partiesOf,
  type Refusal,
} from './application-store.js';

export interface Review {
  readonly reviewId: string;
  readonly reviewerId: string | null;
  readonly labId: string | null;
  readonly assignedAt: Date;
  readonly outcome: 'award' | 'reject' | null;
  readonly score: number | null;
  readonly text: string | null;
  readonly recommendedAt: Date | null;
}

export const reviewSelect = `
  SELECT review_id AS "reviewId", reviewer_id AS "reviewerId", lab_id AS "labId", assigned_at AS "assignedAt",
    outcome, score, body AS text, recommended_at AS "recommendedAt" FROM access.review`;

export interface LifecycleEvent {
  readonly action: string;
  readonly from: string | null;
  readonly to: string;
  readonly actor: string | null;
  readonly reason: string | null;
  readonly at: Date;
}

const readers = ['applicant', 'co-applicant', 'secretariat', 'reviewer', 'auditor'] as const;
type Reader = (typeof readers)[number];

export interface ApplicationDetails {
  readonly application: Application;
  readonly mayI: Reader;
  readonly reviews: readonly Review[];
  readonly events: readonly LifecycleEvent[];
}

export interface ApplicationQuery {
  readonly scope: 'mine' | 'review' | 'all';
  readonly state?: ApplicationState | undefined;
  readonly limit: number;
  readonly after?: string | undefined;
}

@Injectable()
export class ReadApplications {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** One application, as far as the actor may see it. */
  async show(actor: Actor, applicationId: string): Promise<Result<ApplicationDetails, Refusal>> {
    const tx = this.transactor.read;
    const admitted = await admitTo(tx, actor, applicationId, readers, '');
    if (!admitted.ok) return admitted;
    const { application, relation } = admitted.value;
    const reviews = await tx.rows<Review>(
      `${reviewSelect} WHERE application_id = $1 ORDER BY assigned_at, review_id`,
      [applicationId],
    );
    const events = await eventsOf(tx, 'application', applicationId);
    return ok({ application, mayI: relation.kind, ...redact(application, relation, actor, reviews, events) });
  }

  /** A page of applications; those that a conflict of interest closes to the actor are not in it. */
  async list(
    actor: Actor,
    query: ApplicationQuery,
  ): Promise<Result<{ items: Application[]; next: string | null }, Refusal>> {
    const needed = rolesFor[query.scope];
    if (needed.length > 0 && !actor.memberships.some(({ role }) => needed.includes(role))) {
      return err(problem('auth.forbidden', `The list \`${query.scope}\` is for ${needed.join(', ')}`));
    }
    const states =
      query.state !== undefined ? [query.state] : query.scope === 'review' ? [...reviewableStates] : null;
    const found = await this.transactor.read.rows<Application>(
      `${applicationSelect}
       WHERE a.id > $1 AND ($2::text[] IS NULL OR a.state = ANY ($2))
         AND CASE $3
           WHEN 'mine' THEN a.applicant_id = $4
             OR a.co_applicants @> jsonb_build_array(jsonb_build_object('personId', $4::text))
           WHEN 'review' THEN a.state <> 'draft' AND a.applicant_id <> $4
           ELSE a.state <> 'draft' END
       ORDER BY a.id LIMIT $5`,
      [query.after ?? '', states, query.scope, actor.personId, query.limit],
    );
    const items = found.filter(
      (application) => relationTo(partiesOf(application), actor).kind !== 'conflicted',
    );
    const last = found.length < query.limit ? undefined : found.at(-1);
    return ok({ items: query.scope === 'mine' ? found : items, next: last?.applicationId ?? null });
  }
}

const rolesFor: Readonly<Record<ApplicationQuery['scope'], readonly string[]>> = {
  mine: [],
  review: ['reviewer', 'secretariat'],
  all: ['secretariat', 'auditor'],
};

/** Applicants see reviews when they are decided and never who wrote them; reviewers see their own until then. */
function redact(
  application: Application,
  relation: Relation,
  actor: Actor,
  reviews: readonly Review[],
  events: readonly LifecycleEvent[],
): { reviews: readonly Review[]; events: readonly LifecycleEvent[] } {
  const decided = application.decision !== null;
  switch (relation.kind) {
    case 'secretariat':
    case 'auditor':
      return { reviews, events };
    case 'reviewer': {
      const own = reviews.filter((review) => review.reviewerId === actor.personId);
      const done = own.some((review) => review.outcome !== null);
      return { reviews: done || decided ? reviews : own, events };
    }
    default: {
      const given = decided ? reviews.filter((review) => review.outcome !== null) : [];
      const ours = [application.applicantId, ...application.coApplicants.map((one) => one.personId)];
      return {
        reviews: given.map((review) => ({ ...review, reviewerId: null, labId: null })),
        events: events.map((event) =>
          event.actor !== null && ours.includes(event.actor as never) ? event : { ...event, actor: null },
        ),
      };
    }
  }
}

export async function eventsOf(
  tx: Tx,
  what: 'application' | 'allocation',
  id: string,
): Promise<LifecycleEvent[]> {
  return tx.rows<LifecycleEvent>(
    `SELECT action, from_state AS "from", to_state AS "to", actor, reason, at
     FROM access.${what}_event WHERE ${what}_id = $1 ORDER BY id`,
    [id],
  );
}
