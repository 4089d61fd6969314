import { z } from 'zod';

/**
 * Roles. `secretariat` and `auditor` are held in the consortium, the others within one lab.
 * A person may hold several, in several labs.
 */
export const consortiumRoles = ['secretariat', 'auditor'] as const;
export const labRoles = ['delegate', 'deputy', 'reviewer', 'operator', 'researcher'] as const;
export const roles = [...consortiumRoles, ...labRoles] as const;
export const roleSchema = z.enum(roles).describe('A role in the consortium or, with a lab id, in that lab');
export type Role = z.infer<typeof roleSchema>;
export const labRoleSchema = z.enum(labRoles);
export type LabRole = z.infer<typeof labRoleSchema>;

/** What an API key of an allocation may do; granted apart. */
export const scopes = ['outputs', 'internals:read', 'internals:write', 'gradients'] as const;
export const scopeSchema = z.enum(scopes);
export type Scope = z.infer<typeof scopeSchema>;

/** Who may call an endpoint. Every endpoint says one of these. */
export type Access =
  | { readonly kind: 'public'; readonly why: string }
  /** Any logged-in person; with `roles`, one who holds at least one of them somewhere (the use case checks which lab). */
  | { readonly kind: 'person'; readonly roles?: readonly Role[] }
  /** The agent of a cluster, by its agent key. */
  | { readonly kind: 'agent' }
  /** An API key of an allocation that carries this scope, where one is named. */
  | { readonly kind: 'api-key'; readonly scope?: Scope }
  /** A person's session or an API key. */
  | { readonly kind: 'person-or-api-key'; readonly scope?: Scope };
