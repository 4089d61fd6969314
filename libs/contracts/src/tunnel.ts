/**
 * The connection through which the gateway reaches a served model: the agent opens a WebSocket to
 * `<gateway>/agent/tunnel`, so nothing at the lab has to listen.
 *
 * Text frames are the JSON messages below. Binary frames carry bodies: four bytes, big endian, with the id of the
 * request, then bytes of the answer. An answer is `head`, any number of binary frames, then `end` or `failed`.
 * The agent sends at most as many body bytes as it has credit for (`initialCredit`, then what `credit` adds), so a
 * slow reader holds up its own answer only. Either side may close; requests in flight then fail.
 */
import { z } from 'zod';
import { idText } from './endpoint.js';

export const tunnelPath = '/agent/tunnel';

export const tunnelLimits = {
  /** Requests in flight on one tunnel; more are refused at the gateway. */
  requests: 64,
  /** A request body: the runner's own limit. */
  requestBytes: 16 * 1024 * 1024,
  /** Body bytes that may be under way per request before the reader has taken any. */
  initialCredit: 4 * 1024 * 1024,
  /** Body bytes in one binary frame. */
  frameBytes: 256 * 1024,
  /** Longest that one request may take. */
  timeoutMs: 600_000,
  /** A tunnel that does not answer a ping for so long is dead. */
  silenceMs: 15_000,
} as const;

/** In the query of the WebSocket's address; the agent's key is its bearer token. */
export const tunnelQuerySchema = z.object({
  jobId: idText('job'),
  attempt: z.coerce.number().int().min(1),
  incarnation: z.coerce.number().int().min(1),
});
export type TunnelQuery = z.infer<typeof tunnelQuerySchema>;

const requestId = z.number().int().min(1).max(4_294_967_295);

/** From the agent. */
export const tunnelUpMessageSchema = z.discriminatedUnion('type', [
  /** First of all: what is served here. */
  z.object({
    type: z.literal('hello'),
    revisions: z.array(z.string().max(200)).max(10_000),
  }),
  z.object({
    type: z.literal('head'),
    id: requestId,
    status: z.number().int().min(100).max(599),
    headers: z.record(z.string(), z.string()),
  }),
  z.object({ type: z.literal('end'), id: requestId }),
  z.object({
    type: z.literal('failed'),
    id: requestId,
    code: z.enum(['unreachable', 'timeout', 'refused', 'broken']),
    detail: z.string().max(2_000),
  }),
]);
export type TunnelUpMessage = z.infer<typeof tunnelUpMessageSchema>;

/** From the gateway. */
export const tunnelDownMessageSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('request'),
    id: requestId,
    method: z.enum(['GET', 'POST']),
    path: z
      .string()
      .regex(/^\/[!-~]*$/)
      .max(2_000),
    body: z.string().max(tunnelLimits.requestBytes).nullable().describe('JSON text'),
    timeoutMs: z.number().int().min(1).max(tunnelLimits.timeoutMs),
  }),
  z.object({ type: z.literal('credit'), id: requestId, bytes: z.number().int().min(1) }),
  z.object({ type: z.literal('abort'), id: requestId }),
]);
export type TunnelDownMessage = z.infer<typeof tunnelDownMessageSchema>;
