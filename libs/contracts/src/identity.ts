import { z } from 'zod';
import { endpoint, idText, isoTime, noContent, pageOf, pageQuery, shortText } from './endpoint.js';
import { consortiumRoles, labRoleSchema, roleSchema, scopeSchema } from './roles.js';

/** Who belongs to the consortium, how people log in, and which keys exist. */

export const emailText = z
  .string()
  .trim()
  .toLowerCase()
  .max(254)
  .pipe(z.email())
  .describe('E-mail address; compared without regard to case');
export const labSlug = z
  .string()
  .regex(/^[a-z][a-z0-9-]{1,38}[a-z0-9]$/, 'small letters, digits and hyphens; 3 to 40 of them')
  .describe('Short name of a lab for commands and addresses, such as `lab-a`');
/** A lab by its id or by its short name. */
export const labRef = z.union([idText('lab'), labSlug]).describe('Id or short name of a lab');
export const consortiumRoleSchema = z.enum(consortiumRoles);

export const membershipSchema = z.object({
  labId: idText('lab').nullable().describe('Null for a role in the consortium'),
  labSlug: labSlug.nullable(),
  role: roleSchema,
});

export const whoSchema = z
  .discriminatedUnion('kind', [
    z.object({
      kind: z.literal('person'),
      personId: idText('per'),
      name: z.string(),
      email: z.string(),
      assurance: z.enum(['local', 'oidc']).describe('How this person logged in'),
      memberships: z.array(membershipSchema),
    }),
    z.object({
      kind: z.literal('api-key'),
      keyId: idText('key'),
      personId: idText('per'),
      allocationId: idText('alc'),
      scopes: z.array(scopeSchema),
    }),
  ])
  .describe('Whom the credential names');

export const sessionSchema = z.object({
  token: z.string().describe('`bts_…`: send it as a bearer token; it is shown only now'),
  expiresAt: isoTime.describe('Use prolongs it, up to a month after the login'),
  who: whoSchema,
});
export type SessionWire = z.infer<typeof sessionSchema>;

// --- logging in ---------------------------------------------------------------------------------------------------

const loginIsPublic = { kind: 'public', why: 'nobody is logged in before the login' } as const;

export const loginWays = endpoint({
  id: 'auth.ways',
  method: 'GET',
  path: '/auth/ways',
  access: loginIsPublic,
  summary: 'How one logs in here',
  response: z.object({
    oidc: z.object({ issuer: z.string() }).nullable().describe('OpenID Connect: start at /auth/oidc/start'),
    local: z.boolean().describe('The local login of a facility that runs on one machine'),
  }),
});

export const localLogin = endpoint({
  id: 'auth.local',
  method: 'POST',
  path: '/auth/local',
  access: loginIsPublic,
  summary: 'Log in on the machine that the facility runs on',
  description:
    'Only in the embedded mode. Whoever can read `local-login-secret` in the state folder owns the machine, and may log in as anyone.',
  body: z.object({
    email: emailText,
    secret: z.string().min(1).max(200).describe('What the file `local-login-secret` holds'),
    name: shortText.optional().describe('Shown to others; at first the part before the @'),
    secretariat: z.boolean().default(false).describe('Also take up the secretariat'),
    keepIn: z.enum(['token', 'cookie']).default('token').describe('`cookie`: also set the session cookie'),
  }),
  response: sessionSchema,
  errors: ['auth.login-unavailable', 'auth.invalid-credentials', 'request.rate-limited'],
});

/** Where a browser may be sent back to: a path of our own pages. */
const ownPath = z
  .string()
  .max(500)
  .regex(/^\/(?![/\\])[^\\\s]*$/, 'a path of this facility, beginning with one slash');
/** Where a program on the person's machine waits for its code. */
const loopbackUrl = z
  .string()
  .max(300)
  .regex(/^http:\/\/(127\.0\.0\.1|\[::1\]):\d{1,5}\/[A-Za-z0-9/_-]*$/, 'a loopback address with a port');
const challengeText = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/)
  .describe('base64url of the SHA-256 of the verifier, as in PKCE');

export const startOidcLogin = endpoint({
  id: 'auth.oidc.start',
  method: 'GET',
  path: '/auth/oidc/start',
  access: loginIsPublic,
  summary: 'Send a browser to the login of its home institution',
  description:
    'With `redirect` and `challenge` (the CLI): ends at that loopback address with `code`, for /auth/exchange.',
  query: z
    .object({
      returnTo: ownPath.default('/').describe('Page to come back to'),
      redirect: loopbackUrl.optional(),
      challenge: challengeText.optional(),
      state: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,100}$/)
        .optional()
        .describe('Handed back to `redirect`'),
    })
    .refine((query) => (query.redirect === undefined) === (query.challenge === undefined), {
      message: '`redirect` and `challenge` belong together',
    }),
  response: noContent,
  produces: 'text/html',
  status: 302,
  errors: ['auth.login-unavailable', 'server.unavailable'],
});

export const finishOidcLogin = endpoint({
  id: 'auth.oidc.callback',
  method: 'GET',
  path: '/auth/oidc/callback',
  access: loginIsPublic,
  summary: 'Where the login of the home institution sends the browser back to',
  query: z.object({
    code: z.string().max(4_000).optional(),
    state: z.string().max(1_000).optional(),
    error: z.string().max(200).optional(),
  }),
  response: noContent,
  produces: 'text/html',
  status: 302,
  errors: [
    'auth.login-unavailable',
    'auth.invalid-credentials',
    'auth.email-unverified',
    'server.unavailable',
  ],
});

export const exchangeLoginCode = endpoint({
  id: 'auth.exchange',
  method: 'POST',
  path: '/auth/exchange',
  access: loginIsPublic,
  summary: 'Turn the code of a finished browser login into a session, once',
  body: z.object({
    code: z.string().max(200),
    verifier: z.string().regex(/^[A-Za-z0-9_-]{43,128}$/),
  }),
  response: sessionSchema,
  errors: ['auth.invalid-credentials'],
});

export const logOut = endpoint({
  id: 'auth.logout',
  method: 'POST',
  path: '/auth/logout',
  access: { kind: 'person' },
  summary: 'End this session',
  query: z.object({ everywhere: z.stringbool().default(false).describe('End all my sessions') }),
  response: noContent,
  status: 204,
});

export const whoAmI = endpoint({
  id: 'auth.whoami',
  method: 'GET',
  path: '/auth/whoami',
  access: { kind: 'person-or-api-key' },
  summary: 'Whom my credential names, and what it may do',
  response: whoSchema,
});

// --- labs ---------------------------------------------------------------------------------------------------------

export const contributionWeight = z
  .number()
  .int()
  .min(1)
  .max(1_000_000)
  .describe('Share of the contributions, for the votes that weigh them');

export const labSchema = z.object({
  labId: idText('lab'),
  slug: labSlug,
  name: z.string(),
  contributionWeight,
  inArrears: z.boolean().describe('Behind with its contributions: has no vote on money and membership'),
  createdAt: isoTime,
});
export type LabWire = z.infer<typeof labSchema>;

const membersArePublic = { kind: 'public', why: 'a consortium publishes who its members are' } as const;
const labParams = z.object({ lab: labRef });

export const createLab = endpoint({
  id: 'labs.create',
  method: 'POST',
  path: '/labs',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Admit a lab to the consortium',
  body: z.object({ slug: labSlug, name: shortText, contributionWeight: contributionWeight.default(1) }),
  response: labSchema,
  status: 201,
  errors: ['resource.exists'],
});

export const listLabs = endpoint({
  id: 'labs.list',
  method: 'GET',
  path: '/labs',
  access: membersArePublic,
  summary: 'The labs of the consortium',
  response: z.object({ items: z.array(labSchema) }),
});

export const showLab = endpoint({
  id: 'labs.show',
  method: 'GET',
  path: '/labs/:lab',
  access: membersArePublic,
  summary: 'One lab',
  params: labParams,
  response: labSchema,
  errors: ['resource.not-found'],
});

export const changeLab = endpoint({
  id: 'labs.change',
  method: 'PATCH',
  path: '/labs/:lab',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: "Change a lab's name, weight or arrears",
  params: labParams,
  body: z.object({
    name: shortText.optional(),
    contributionWeight: contributionWeight.optional(),
    inArrears: z.boolean().optional(),
  }),
  response: labSchema,
  errors: ['resource.not-found', 'resource.exists'],
});

// --- members ------------------------------------------------------------------------------------------------------

export const memberSchema = z.object({
  personId: idText('per'),
  name: z.string(),
  email: z.string().nullable().describe('Only for people of the same lab, the secretariat and auditors'),
  role: roleSchema,
  labId: idText('lab').nullable(),
  since: isoTime,
  invited: z.boolean().describe('Has not logged in yet'),
});
export type MemberWire = z.infer<typeof memberSchema>;

/** A person who is here already, or an address that will be one's at the first login. */
const grantee = z
  .object({ personId: idText('per').optional(), email: emailText.optional(), name: shortText.optional() })
  .refine((who) => (who.personId === undefined) !== (who.email === undefined), {
    message: 'name the person by `personId` or by `email`, not by both',
  });

export const listMembers = endpoint({
  id: 'members.list',
  method: 'GET',
  path: '/labs/:lab/members',
  access: { kind: 'person' },
  summary: 'The people of a lab and their roles',
  params: labParams,
  response: z.object({ items: z.array(memberSchema) }),
  errors: ['resource.not-found'],
});

export const grantLabRole = endpoint({
  id: 'members.grant',
  method: 'POST',
  path: '/labs/:lab/members',
  access: { kind: 'person', roles: ['secretariat', 'delegate'] },
  summary: 'Give a person a role in a lab, or invite one by e-mail',
  description:
    "The secretariat gives every role, a lab's delegate every one but its own. An address nobody has logged in with holds the role from the first login on. Granting a role again changes nothing.",
  params: labParams,
  body: grantee.safeExtend({ role: labRoleSchema }),
  response: memberSchema,
  status: 201,
  errors: ['auth.forbidden', 'resource.not-found'],
});

export const revokeLabRole = endpoint({
  id: 'members.revoke',
  method: 'DELETE',
  path: '/labs/:lab/members/:personId/roles/:role',
  access: { kind: 'person' },
  summary: 'Take a role in a lab from a person, or lay down my own',
  params: labParams.extend({ personId: idText('per'), role: labRoleSchema }),
  response: noContent,
  status: 204,
  errors: ['auth.forbidden', 'resource.not-found'],
});

export const listConsortiumMembers = endpoint({
  id: 'consortium.members.list',
  method: 'GET',
  path: '/consortium/members',
  access: { kind: 'person' },
  summary: 'Who holds a role in the consortium',
  response: z.object({ items: z.array(memberSchema) }),
});

export const grantConsortiumRole = endpoint({
  id: 'consortium.members.grant',
  method: 'POST',
  path: '/consortium/members',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Give a person a role in the consortium, or invite one by e-mail',
  body: grantee.safeExtend({ role: consortiumRoleSchema }),
  response: memberSchema,
  status: 201,
  errors: ['resource.not-found'],
});

export const revokeConsortiumRole = endpoint({
  id: 'consortium.members.revoke',
  method: 'DELETE',
  path: '/consortium/members/:personId/roles/:role',
  access: { kind: 'person' },
  summary: 'Take a role in the consortium from a person, or lay down my own',
  params: z.object({ personId: idText('per'), role: consortiumRoleSchema }),
  response: noContent,
  status: 204,
  errors: ['auth.forbidden', 'resource.not-found', 'identity.last-secretariat'],
});

// --- people -------------------------------------------------------------------------------------------------------

export const personSchema = z.object({
  personId: idText('per'),
  name: z.string(),
  email: z.string().nullable().describe('Only for people of the same lab, the secretariat and auditors'),
  memberships: z.array(membershipSchema),
  invited: z.boolean().describe('Has not logged in yet'),
  suspended: z
    .boolean()
    .describe('Gets in neither by login nor by key until the secretariat restores the access'),
});
export type PersonWire = z.infer<typeof personSchema>;

export const listPeople = endpoint({
  id: 'people.list',
  method: 'GET',
  path: '/people',
  access: { kind: 'person', roles: ['secretariat', 'auditor'] },
  summary: 'Everybody known here',
  query: pageQuery,
  response: pageOf(personSchema),
});

export const showPerson = endpoint({
  id: 'people.show',
  method: 'GET',
  path: '/people/:personId',
  access: { kind: 'person' },
  summary: 'One person',
  params: z.object({ personId: idText('per') }),
  response: personSchema,
  errors: ['resource.not-found'],
});

export const suspendPerson = endpoint({
  id: 'people.suspend',
  method: 'POST',
  path: '/people/:personId/suspend',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Shut a person out: all sessions end, and no login or key of theirs opens anything',
  description:
    'For an account that was taken over, or somebody who left. Roles and keys stay, for when it is undone.',
  params: z.object({ personId: idText('per') }),
  response: personSchema,
  errors: ['auth.forbidden', 'resource.not-found'],
});

export const restorePerson = endpoint({
  id: 'people.restore',
  method: 'POST',
  path: '/people/:personId/restore',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Let a suspended person in again',
  params: z.object({ personId: idText('per') }),
  response: personSchema,
  errors: ['resource.not-found'],
});

// --- keys ---------------------------------------------------------------------------------------------------------

export const keySchema = z.object({
  keyId: idText('key'),
  kind: z.enum(['allocation', 'agent']),
  label: z.string(),
  shownPrefix: z.string().describe('How the key begins: enough to recognise it, useless to others'),
  personId: idText('per').nullable(),
  allocationId: idText('alc').nullable(),
  scopes: z.array(scopeSchema),
  clusterId: idText('clu').nullable(),
  labId: idText('lab').nullable(),
  createdAt: isoTime,
  expiresAt: isoTime.nullable(),
  revokedAt: isoTime.nullable(),
  lastUsedAt: isoTime.nullable().describe('To the minute'),
});
export type KeyWire = z.infer<typeof keySchema>;

export const listKeys = endpoint({
  id: 'keys.list',
  method: 'GET',
  path: '/keys',
  access: { kind: 'person' },
  summary: 'The keys that I may revoke',
  description:
    "My own keys, the agent keys of labs where I am operator, delegate or deputy, and for the secretariat all. A key itself is shown once, by whoever makes it: `allocations` make API keys, `clusters` make agents' keys.",
  query: pageQuery,
  response: pageOf(keySchema),
});

export const revokeKey = endpoint({
  id: 'keys.revoke',
  method: 'POST',
  path: '/keys/:keyId/revoke',
  access: { kind: 'person' },
  summary: 'Revoke a key: within a second nobody gets in with it',
  params: z.object({ keyId: idText('key') }),
  response: keySchema,
  errors: ['resource.not-found'],
});
