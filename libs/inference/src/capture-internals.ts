import { createHash } from 'node:crypto';
import {
  type CaptureEstimate,
  type CaptureRecord,
  type CaptureRequest,
  captureBytesMax,
  captureHeaders,
  type MeteredUsage,
  type NumericsReceipt,
  type ProblemCode,
} from '@beamtime/contracts';
import { type ArtifactId, err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { newId, type ObjectStore } from '@beamtime/platform';
import type { ModelServing } from './model-serving.js';
import type { Caller, Metering, ServableRevision } from './ports.js';
import type { CaptureRow } from './postgres/capture.row.js';
import type { Captures } from './postgres/captures.js';
import { runMetered } from './run-metered.js';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

/** A capture's address works this long; asking again gives a fresh one. */
const urlTtlMs = 15 * 60_000;
export const captureMediaType = 'application/x-safetensors';

export interface CaptureCall {
  readonly requestId: string;
  readonly caller: Caller;
  readonly target: ServableRevision;
  readonly request: Omit<CaptureRequest, 'revision'>;
  readonly signal: AbortSignal;
}

/** What a capture would read, exactly, without running the model. */
export async function estimateCapture(
  serving: ModelServing,
  call: Omit<CaptureCall, 'requestId'>,
): Expected<CaptureEstimate> {
  return serving.callJson<CaptureEstimate>(call.target.modelId, {
    method: 'POST',
    path: '/capture/estimate',
    body: { ...call.request, revision: call.target.revision },
    signal: call.signal,
  });
}

/** Reads activations of one text into a safetensors object, under a hold of its exact size. */
export async function captureInternals(
  serving: ModelServing,
  metering: Metering,
  store: ObjectStore,
  captures: Captures,
  call: CaptureCall,
): Expected<CaptureRecord> {
  const { caller, request, requestId, signal, target } = call;
  const estimate = await estimateCapture(serving, call);
  if (!estimate.ok) return estimate;
  const { activationBytes, tensors } = estimate.value;
  if (activationBytes > captureBytesMax) {
    return err(
      problem(
        'limit.exceeded',
        `This capture is ${activationBytes} bytes; one request may take ${captureBytesMax}. Name fewer sites or positions`,
      ),
    );
  }
  const captureId = newId('Artifact');
  const objectKey = `captures/${captureId}.safetensors`;
  const done = await runMetered(metering, {
    requestId,
    caller,
    target,
    scope: 'internals:read',
    unit: 'activation_bytes',
    atMost: activationBytes,
    work: async () => {
      const answer = await serving.call(target.modelId, {
        method: 'POST',
        path: '/capture',
        body: { ...request, revision: target.revision },
        signal,
      });
      if (!answer.ok) return answer;
      const file = await readCapture(answer.value.body);
      if (!file.ok) return file;
      const receipt = JSON.parse(answer.value.headers[captureHeaders.receipt] ?? 'null') as NumericsReceipt;
      const stored = await store.put(objectKey, file.value, { contentType: captureMediaType });
      if (!stored.ok) return err(problem(stored.error.code, stored.error.detail));
      const sha256 = createHash('sha256').update(file.value).digest('hex');
      return ok({ value: { receipt, sha256, sizeBytes: file.value.byteLength }, used: activationBytes });
    },
  });
  if (!done.ok) return done;
  const row: CaptureRow = {
    id: captureId,
    allocationId: caller.allocationId,
    modelName: target.modelName,
    revision: target.revision,
    objectKey,
    sizeBytes: String(done.value.value.sizeBytes),
    sha256: done.value.value.sha256,
    tensors,
    receipt: done.value.value.receipt,
    usage: done.value.usage,
    createdAt: new Date(),
  };
  await captures.add(row);
  return describeCapture(store, row);
}

/** A capture of this allocation, with a fresh address. */
export async function showCapture(
  store: ObjectStore,
  captures: Captures,
  caller: Caller,
  captureId: ArtifactId,
): Expected<CaptureRecord> {
  const row = await captures.find(captureId, caller.allocationId);
  if (row === undefined)
    return err(problem('resource.not-found', `This allocation has no capture ${captureId}`));
  return describeCapture(store, row);
}

async function describeCapture(store: ObjectStore, row: CaptureRow): Expected<CaptureRecord> {
  const leave = await store.presignGet(row.objectKey, { ttlMs: urlTtlMs });
  if (!leave.ok) return leave;
  return ok({
    captureId: row.id,
    model: row.modelName,
    revision: row.revision,
    tensors: row.tensors as CaptureRecord['tensors'],
    sizeBytes: Number(row.sizeBytes),
    sha256: row.sha256,
    mediaType: captureMediaType,
    url: leave.value.url,
    urlExpiresAt: leave.value.expiresAt.toISOString(),
    receipt: row.receipt as NumericsReceipt,
    usage: row.usage as MeteredUsage,
    createdAt: row.createdAt.toISOString(),
  });
}

/** The file's header names the tensors; a generous bound on it beside the activations themselves. */
const fileBytesMax = captureBytesMax + 16 * 1024 * 1024;

async function readCapture(body: AsyncIterable<Uint8Array>): Expected<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of body) {
      size += part.byteLength;
      if (size > fileBytesMax)
        return err(problem('inference.runner-failed', 'The model server sent more than it announced'));
      parts.push(part);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return err(problem('inference.runner-failed', `The capture broke off: ${why}; you were not charged`));
  }
  return ok(Buffer.concat(parts));
}
