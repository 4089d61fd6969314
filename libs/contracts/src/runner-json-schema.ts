/** The runner's wires as JSON Schema, for Python. Written to disk by `scripts/generate-runner-schemas.mjs`. */
import { z } from 'zod';
import { runnerEvent } from './runner-event.js';
import { runnerJob } from './runner-job.js';
import * as serve from './runner-serve.js';

const serveWires = {
  serveProblem: serve.serveProblem,
  serveHealth: serve.serveHealth,
  completionsRequest: serve.completionsRequest,
  completionsResponse: serve.completionsResponse,
  completionsChunk: serve.completionsChunk,
  embeddingsRequest: serve.embeddingsRequest,
  embeddingsResponse: serve.embeddingsResponse,
  tokenizeRequest: serve.tokenizeRequest,
  tokenizeResponse: serve.tokenizeResponse,
  detokenizeRequest: serve.detokenizeRequest,
  detokenizeResponse: serve.detokenizeResponse,
  tokenizerInfo: serve.tokenizerInfo,
  surprisalRequest: serve.surprisalRequest,
  surprisalResponse: serve.surprisalResponse,
  captureRequest: serve.captureRequest,
  captureEstimate: serve.captureEstimate,
};

/** Where the runner keeps its schemas, from the root of the repository. */
export const runnerSchemasDir = 'apps/runner/src/beamtime_runner/schemas';

/** File name → text of each schema file. */
export function runnerSchemaFiles(): Record<string, string> {
  const limits = { $comment: 'Limits of serve', ...serve.serveLimits };
  const files = {
    'job.json': z.toJSONSchema(runnerJob),
    'event.json': z.toJSONSchema(runnerEvent),
    'serve.json': {
      $comment: 'One schema per wire',
      $defs: Object.fromEntries(
        Object.entries(serveWires).map(([name, wire]) => [name, z.toJSONSchema(wire)]),
      ),
    },
    'serve-limits.json': limits,
  };
  return Object.fromEntries(
    Object.entries(files).map(([name, schema]) => [name, `${JSON.stringify(schema, null, 1)}\n`]),
  );
}
