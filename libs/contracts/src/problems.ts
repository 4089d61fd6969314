import { z } from 'zod';

/**
 * Every error code of the HTTP API with its status and title. Codes are stable: clients may branch on them.
 * A context's codes start with its name.
 */
export const problemCodes = {
  'request.invalid': { status: 400, title: 'The request does not fit the schema' },
  'request.malformed': { status: 400, title: 'The body is not valid JSON' },
  'request.too-large': { status: 413, title: 'The body is larger than this endpoint accepts' },
  'request.unsupported-media-type': { status: 415, title: 'This content type is not accepted here' },
  'request.not-found': { status: 404, title: 'No such route' },
  'request.timeout': { status: 408, title: 'The request took too long' },
  'request.rate-limited': { status: 429, title: 'Too many requests' },
  'auth.required': { status: 401, title: 'Log in or send an API key' },
  'auth.invalid-credentials': { status: 401, title: 'These credentials are not valid' },
  'auth.forbidden': { status: 403, title: 'You may not do this' },
  'auth.scope-missing': { status: 403, title: 'This key does not carry the scope that is needed' },
  'auth.login-unavailable': { status: 404, title: 'This way of logging in is not offered here' },
  'state.illegal-transition': { status: 409, title: 'Not possible in the present state' },
  'state.conflict': { status: 409, title: 'Somebody else changed this at the same time' },
  'resource.not-found': { status: 404, title: 'No such resource' },
  'resource.exists': { status: 409, title: 'It exists already' },
  'limit.exceeded': { status: 422, title: 'Over a limit' },
  'server.internal': {
    status: 500,
    title: 'The facility failed; the request id helps its operators find out why',
  },
  'server.unavailable': { status: 503, title: 'A part of the facility cannot be reached; try again' },
  'object-store.not-found': { status: 404, title: 'No such object' },
  'object-store.exists': { status: 409, title: 'An object of this key exists already' },
  'object-store.full': { status: 507, title: 'The object store is full' },
  'object-store.too-large': { status: 413, title: 'The object is larger than announced' },
  'object-store.bad-signature': {
    status: 403,
    title: 'The signature of this URL is not valid or has expired',
  },
  'object-store.checksum-mismatch': { status: 422, title: 'The bytes do not have the announced checksum' },
  'object-store.bad-range': { status: 416, title: 'The object has no such range of bytes' },
  'object-store.bad-key': { status: 400, title: 'This is not a valid object key' },
  // identity
  'auth.email-unverified': {
    status: 403,
    title: 'Your home institution has not verified your e-mail address',
  },
  'identity.last-secretariat': { status: 409, title: 'The consortium would be left without a secretariat' },
  // governance
  'governance.not-on-roll': { status: 403, title: 'You are not on the electoral roll of this round' },
  'governance.round-not-open': { status: 409, title: 'The round does not accept this now' },
  'governance.over-budget': { status: 422, title: 'This costs more than any budget here could pay' },
  'governance.invalid-ballot': { status: 422, title: 'The ballot does not fit the round' },
  'governance.invalid-suite': { status: 422, title: 'The suite cannot be trained as described' },
  'governance.invalid-charter': { status: 422, title: 'The parts of the charter do not fit together' },
  'governance.invalid-proposal': { status: 422, title: 'This round cannot decide such a proposal' },
  'governance.unknown-gpu-type': { status: 422, title: 'The round has no budget for this GPU type' },
  'governance.nothing-to-vote-on': { status: 409, title: 'There is nothing to vote on, or nobody to vote' },
  'governance.in-arrears': { status: 403, title: 'A lab in arrears cannot vote by double majority' },
  'governance.deputies-not-allowed': { status: 403, title: 'The charter of this round allows no deputies' },
  'governance.ballots-secret': { status: 403, title: 'Ballots are secret until the vote closes' },
  'governance.not-decided': { status: 409, title: 'The round is not decided yet' },
  'governance.not-a-budget-vote': { status: 409, title: 'This round did not share out a budget' },
  // catalogue
  'catalogue.invalid-corpus': { status: 422, title: 'The corpus cannot be used' },
  'catalogue.not-loadable': { status: 409, title: 'The model has no weights here' },
  'catalogue.behaviour-only': { status: 409, title: 'The model is listed for behaviour only' },
  'catalogue.withdrawn': { status: 410, title: 'The closed model is not offered any more' },
  // scheduling
  'scheduling.unschedulable': { status: 422, title: 'No cluster could ever run this job' },
  'scheduling.queue-full': { status: 429, title: 'The queue is full' },
  'scheduling.dependency-failed': { status: 409, title: 'A job that it should follow has not succeeded' },
  'scheduling.deadline-past': { status: 422, title: 'The deadline is over already' },
  'scheduling.quota-exceeded': { status: 429, title: 'A quota does not allow this job' },
  'scheduling.agent-superseded': { status: 409, title: 'A newer agent process has taken over this cluster' },
  'scheduling.attempt-fenced': { status: 409, title: 'This attempt is no longer the current one; stop it' },
  'scheduling.insufficient-reservation': { status: 402, title: 'The reservation does not cover this job' },
  // access
  'access.conflict-of-interest': {
    status: 403,
    title: 'A conflict of interest bars you from this application',
  },
  'access.insufficient-units': { status: 402, title: 'The allocation does not cover this request' },
  'access.review-missing': {
    status: 409,
    title: 'More recommendations are needed before this can be awarded',
  },
  'access.id-reused': { status: 409, title: 'This id was used for something else' },
  'access.hold-settled': { status: 409, title: 'The hold is settled already' },
  'access.allocation-inactive': { status: 403, title: 'The allocation is not active' },
  'access.model-not-granted': { status: 403, title: 'The allocation does not cover this model' },
  'access.policy-denied': { status: 403, title: 'A policy adopted by the consortium does not allow this' },
  // inference
  'inference.model-warming-up': { status: 503, title: 'The model is being loaded; try again soon' },
  'inference.model-unavailable': { status: 503, title: 'No cluster serves this model now' },
  'inference.unknown-site': { status: 422, title: 'The model has no such site' },
  'inference.context-exceeded': { status: 422, title: 'Longer than the context of the model' },
  'inference.runner-failed': {
    status: 502,
    title: 'The model server failed on this request; it was not charged',
  },
  'inference.upstream-unknown': {
    status: 422,
    title: 'The operator has configured no upstream of this name',
  },
  'inference.upstream-unsupported': {
    status: 422,
    title: 'The upstream of this closed model cannot do this',
  },
  'inference.upstream-refused': {
    status: 502,
    title: 'The upstream refused this request; it was not charged',
  },
  'inference.upstream-limited': {
    status: 429,
    title: 'The upstream takes no more requests of this facility now; it was not charged',
  },
  'inference.upstream-unavailable': {
    status: 503,
    title: 'The upstream of this closed model cannot be reached; it was not charged',
  },
  'inference.upstream-failed': {
    status: 502,
    title: 'The upstream gave no usable answer; it was not charged',
  },
  // studies
  'studies.nothing-to-study': { status: 422, title: 'No model matches' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problemCodes;

/** RFC 9457 problem details, as every error of the control plane is sent. */
export const problemDetailsSchema = z
  .object({
    type: z.string().describe('URI of the documentation of this code'),
    title: z.string(),
    status: z.number().int(),
    code: z
      .enum(Object.keys(problemCodes) as [ProblemCode, ...ProblemCode[]])
      .describe('Stable; branch on this'),
    detail: z.string().describe('What happened and what to do, for a person'),
    instance: z.string().optional().describe('The request id; quote it when you ask for help'),
    issues: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe('With request.invalid: each field that does not fit'),
    facts: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Problem' });
export type ProblemDetails = z.infer<typeof problemDetailsSchema>;
