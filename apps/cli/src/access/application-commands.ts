import {
  type ApiClient,
  acceptAward,
  type ClientResponseOf,
  createApplication,
  decideApplication,
  declareConflict,
  listApplications,
  recommendApplication,
  type Scope,
  showApplication,
  submitApplication,
  takeReview,
  withdrawApplication,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { findLabId } from '../governance/find-things.js';
import { collect, grouped, minuteOf, readAmounts, readTime } from './read-amounts.js';

type Application = ClientResponseOf<typeof createApplication>;
type Details = ClientResponseOf<typeof showApplication>;

const anId = 'app_01ky0w3h5cqfzv8r4n2t6m9b7d';
const ofApplication = 'id of the application (app_…)';

/** Apply for access, review, decide, accept. */
export function registerApplicationCommands(program: Command, io: CliIo): void {
  registerApply(program, io);
  const application = program
    .command('application')
    .description('applications for access: read, review, decide, accept');
  registerReading(application, io);
  registerReviewing(application, io);
  registerDeciding(application, io);
}

function registerApply(program: Command, io: CliIo): void {
  interface Wish {
    purpose: string;
    model: string[];
    scope: Scope[];
    units: string[];
    with?: string[];
    until: string;
    from?: string;
    lab?: string;
    draft?: true;
  }
  examples(
    program
      .command('apply')
      .description('apply for access to models: outputs, internal states, or both')
      .argument('<title>', 'what the research is called')
      .requiredOption('--purpose <text>', 'what is to be found out, and why with these models')
      .requiredOption('--model <id>', 'a model (mdl_…), a suite (sui_…) or `*`; may be repeated', collect)
      .requiredOption(
        '--scope <scope>',
        'outputs, internals:read, internals:write or gradients; may be repeated',
        collect,
      )
      .requiredOption(
        '--units <unit=amount>',
        'tokens=200k, bytes=5M, gpu_seconds=3600; may be repeated',
        collect,
      )
      .option('--with <person>', 'id of a co-applicant (per_…); may be repeated', collect)
      .option('--until <time>', 'when the access ends: a day, or a span such as 90d', '90d')
      .option('--from <time>', 'when it begins; now unless said')
      .option(
        '--lab <lab>',
        'short name or id of the lab in whose name; needed only if you belong to several',
      )
      .option('--draft', 'keep it as a draft')
      .action(async (title: string, wish: Wish) => {
        const now = new Date();
        const client = io.client();
        const made = await client.call(createApplication, {
          body: {
            title,
            purpose: wish.purpose,
            models: wish.model,
            scopes: wish.scope,
            requested: readAmounts(wish.units),
            coApplicantIds: wish.with ?? [],
            startsAt: wish.from === undefined ? undefined : readTime(wish.from, now),
            endsAt: readTime(wish.until, now),
            labId: wish.lab === undefined ? undefined : await findLabId(client, wish.lab),
            submit: wish.draft !== true,
          },
        });
        io.show(made, () => describe(made));
      }),
    'apply "Induction heads in two languages" --purpose "When do they form?" --model sui_01ky0w3h5cqfzv8r4n2t6m9b7d --scope outputs --scope internals:read --units tokens=200k --units bytes=5M --until 90d',
  );
}

function registerReading(application: Command, io: CliIo): void {
  examples(
    application
      .command('list')
      .description('my applications, those that I may review, or all')
      .option('--review', 'open applications that I may review')
      .option('--all', 'everybody’s, for the secretariat and auditors')
      .option('--state <state>', 'only those in this state, such as submitted')
      .action(async (wish: { review?: true; all?: true; state?: Application['state'] }) => {
        const scope = wish.all === true ? 'all' : wish.review === true ? 'review' : 'mine';
        const items = await everyApplication(io.client(), { scope, state: wish.state });
        io.show(items, () =>
          formatTable(
            ['application', 'title', 'lab', 'size', 'state', 'changed'],
            items.map((one) => [
              one.applicationId,
              one.title,
              one.labId,
              one.tier,
              one.state,
              minuteOf(one.updatedAt),
            ]),
            'No applications; apply with: beamtime apply --help',
          ),
        );
      }),
    'application list',
    'application list --review',
  );

  examples(
    application
      .command('show')
      .description('an application with its reviews and its history')
      .argument('<application>', ofApplication)
      .action(async (applicationId: string) => {
        const shown = await io.client().call(showApplication, { params: { applicationId } });
        io.show(shown, () => describeAll(shown));
      }),
    `application show ${anId}`,
  );
}

function registerReviewing(application: Command, io: CliIo): void {
  examples(
    application
      .command('review')
      .description('take on the review of another lab’s application, or as secretariat give it to a reviewer')
      .argument('<application>', ofApplication)
      .option('--reviewer <person>', 'id of the reviewer (per_…); only for the secretariat')
      .action(async (applicationId: string, { reviewer }: { reviewer?: string }) => {
        const review = await io
          .client()
          .call(takeReview, { params: { applicationId }, body: { reviewerId: reviewer } });
        io.show(review, () => `${review.reviewerId} of ${review.labId} reviews ${applicationId}`);
      }),
    `application review ${anId}`,
  );

  examples(
    application
      .command('recommend')
      .description('recommend to award or to reject an application that you review')
      .argument('<application>', ofApplication)
      .argument('<outcome>', 'award or reject')
      .requiredOption('--score <n>', '1 poor to 5 excellent')
      .requiredOption('--text <text>', 'why; the applicant reads it without your name')
      .action(
        async (applicationId: string, outcome: 'award' | 'reject', wish: { score: string; text: string }) => {
          const review = await io.client().call(recommendApplication, {
            params: { applicationId },
            body: { outcome, score: Number(wish.score), text: wish.text },
          });
          io.show(review, () => `You recommended to ${outcome} ${applicationId}`);
        },
      ),
    `application recommend ${anId} award --score 4 --text "A clear question, small enough"`,
  );

  examples(
    application
      .command('recuse')
      .description('declare a conflict of interest: from then on the application is closed to you')
      .argument('<application>', ofApplication)
      .requiredOption('--reason <text>', 'what the conflict is')
      .action(async (applicationId: string, { reason }: { reason: string }) => {
        const declared = await io
          .client()
          .call(declareConflict, { params: { applicationId }, body: { reason } });
        io.show(declared, () => `Noted: you have no part in ${applicationId}`);
      }),
    `application recuse ${anId} --reason "We publish together"`,
  );
}

function registerDeciding(application: Command, io: CliIo): void {
  interface Decision {
    reason: string;
    grant?: string[];
    scope?: Scope[];
    until?: string;
  }
  examples(
    application
      .command('decide')
      .description('as secretariat, award all or part of what was applied for, or reject')
      .argument('<application>', ofApplication)
      .argument('<outcome>', 'award or reject')
      .requiredOption('--reason <text>', 'why; the applicant reads it')
      .option('--grant <unit=amount>', 'grant this instead of what was asked for; may be repeated', collect)
      .option('--scope <scope>', 'grant only these scopes; may be repeated', collect)
      .option('--until <time>', 'an earlier end')
      .action(async (applicationId: string, outcome: 'award' | 'reject', wish: Decision) => {
        const decided = await io.client().call(decideApplication, {
          params: { applicationId },
          body: {
            outcome,
            reason: wish.reason,
            granted: wish.grant === undefined ? undefined : readAmounts(wish.grant),
            scopes: wish.scope,
            endsAt: wish.until === undefined ? undefined : readTime(wish.until, new Date()),
          },
        });
        io.show(decided, () => describe(decided));
      }),
    `application decide ${anId} award --reason "Recommended by lab-b" --grant tokens=150k`,
    `application decide ${anId} reject --reason "Too vague"`,
  );

  examples(
    application
      .command('accept')
      .description('accept the award of your application: the allocation begins')
      .argument('<application>', ofApplication)
      .action(async (applicationId: string) => {
        const accepted = await io.client().call(acceptAward, { params: { applicationId } });
        io.show(
          accepted,
          () =>
            `Your allocation is ${accepted.allocationId}; make a key: beamtime allocation key create ${accepted.allocationId} --label laptop`,
        );
      }),
    `application accept ${anId}`,
  );

  const steps = [
    ['withdraw', 'withdraw your application, or decline its award', withdrawApplication],
    ['submit', 'submit your draft, or appeal against a rejection', submitApplication],
  ] as const;
  for (const [name, description, spec] of steps) {
    examples(
      application
        .command(name)
        .description(description)
        .argument('<application>', ofApplication)
        .option('--reason <text>', 'why')
        .action(async (applicationId: string, { reason }: { reason?: string }) => {
          const changed = await io.client().call(spec, { params: { applicationId }, body: { reason } });
          io.show(changed, () => `${changed.title} is ${changed.state}`);
        }),
      `application ${name} ${anId}`,
    );
  }
}

async function everyApplication(
  client: ApiClient,
  query: { scope: 'mine' | 'review' | 'all'; state: Application['state'] | undefined },
): Promise<Application[]> {
  const found: Application[] = [];
  let after: string | undefined;
  do {
    const page = await client.call(listApplications, { query: { ...query, limit: 500, after } });
    found.push(...page.items);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return found;
}

const amountsText = (amounts: Application['requested']): string =>
  amounts.map(({ unit, amount }) => `${grouped(amount)} ${unit}`).join(', ');

function describe(application: Application): string {
  const { decision } = application;
  return formatFields({
    application: application.applicationId,
    title: application.title,
    state: application.state,
    size: application.tier === 'large' ? 'large: needs a recommendation' : 'small',
    lab: application.labId,
    models: application.models.join(', '),
    scopes: application.scopes.join(', '),
    'asked for': amountsText(application.requested),
    period: `${minuteOf(application.startsAt)} to ${minuteOf(application.endsAt)}`,
    ...(decision === null ? {} : { decision: `${decision.outcome}: ${decision.reason}` }),
    ...(decision === null || decision.outcome === 'reject' ? {} : { granted: amountsText(decision.granted) }),
    ...(application.allocationId === null ? {} : { allocation: application.allocationId }),
  });
}

function describeAll(shown: Details): string {
  return [
    describe(shown),
    '',
    shown.purpose,
    '',
    formatTable(
      ['review by', 'recommends', 'score', 'text'],
      shown.reviews.map((one) => [
        one.reviewerId ?? 'a reviewer',
        one.outcome ?? 'not yet',
        one.score,
        one.text,
      ]),
      'No reviews to see',
    ),
    '',
    formatTable(
      ['when', 'what', 'state', 'by', 'why'],
      shown.events.map((one) => [minuteOf(one.at), one.action, one.to, one.actor, one.reason]),
    ),
  ].join('\n');
}
