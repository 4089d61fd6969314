import { z } from 'zod';
import { endpoint, idText, isoTime, sha256Text } from './endpoint.js';
import { meteredUsage, modelText } from './outputs.js';
import { numericsReceipt } from './runner-event.js';
import { captureRequest } from './runner-serve.js';

/** Largest capture that one request may make; larger ones are jobs. */
export const captureBytesMax = 256 * 1024 * 1024;

const captureBody = captureRequest.omit({ revision: true }).extend({ model: modelText });

export const captureTensor = z.object({
  site: z.string(),
  dtype: z.string(),
  shape: z.array(z.int()),
  bytes: z.int(),
});

const internalsAccess = { kind: 'api-key', scope: 'internals:read' } as const;
const internalsErrors = [
  'access.insufficient-units',
  'access.allocation-inactive',
  'access.model-not-granted',
  'access.policy-denied',
  'auth.scope-missing',
  'inference.unknown-site',
  'inference.context-exceeded',
  'inference.model-warming-up',
  'inference.runner-failed',
  'limit.exceeded',
  'catalogue.behaviour-only',
] as const;

export const estimateCapture = endpoint({
  id: 'internals.captures.estimate',
  method: 'POST',
  path: '/internals/captures/estimate',
  access: internalsAccess,
  summary: 'What a capture would read and cost, exactly, without running it',
  body: captureBody,
  response: z.object({
    activationBytes: z.int(),
    flops: z.number(),
    tokens: z.int(),
    tensors: z.array(captureTensor),
  }),
  errors: internalsErrors,
});

export const captureRecord = z.object({
  captureId: idText('art'),
  model: z.string(),
  revision: z.string(),
  tensors: z.array(captureTensor),
  sizeBytes: z.int(),
  sha256: sha256Text,
  mediaType: z.literal('application/x-safetensors'),
  url: z.string().describe('Where the safetensors file can be fetched for a while'),
  urlExpiresAt: isoTime,
  receipt: numericsReceipt,
  usage: meteredUsage,
  createdAt: isoTime,
});
export type CaptureRecord = z.output<typeof captureRecord>;

export const createCapture = endpoint({
  id: 'internals.captures.create',
  method: 'POST',
  path: '/internals/captures',
  access: internalsAccess,
  summary: 'Reads activations and attention of one text into a safetensors file',
  description:
    "Sites are TransformerLens's names, `*` stands for any part: `blocks.*.hook_resid_post`, `blocks.*.attn.hook_pattern`. Holds the exact number of bytes before it runs.",
  body: captureBody,
  response: captureRecord,
  status: 201,
  errors: internalsErrors,
});

export const showCapture = endpoint({
  id: 'internals.captures.show',
  method: 'GET',
  path: '/internals/captures/:captureId',
  access: internalsAccess,
  summary: 'A capture of this allocation, with a fresh address to fetch it from',
  params: z.object({ captureId: idText('art') }),
  response: captureRecord,
  errors: ['resource.not-found'],
});
