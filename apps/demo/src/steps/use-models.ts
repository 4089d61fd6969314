import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAllocationKey, createCapture, showAllocation } from '@beamtime/contracts';
import OpenAI from 'openai';
import type { World } from '../world.js';
import { problemOf } from './decide-round.js';
import { type GrantedAccess, grantSmallAllocation } from './grant-access.js';

export interface UsedModel {
  readonly name: string;
  readonly revision: string;
  readonly prompt: string;
}

/** Each request of the race asks for this many tokens, and the allocation covers five of them. */
const raceTokens = 4;
const raceCovered = 5;
const raceRequests = 20;

export interface Use {
  readonly requestId: string;
  readonly captureId: string;
}

/** Outputs through the official client of OpenAI, internals as safetensors; limits that hold. */
export async function useModels(
  world: World,
  access: GrantedAccess,
  suiteId: string,
  used: UsedModel,
): Promise<Use> {
  const { narrator } = world;
  narrator.chapter('Use: outputs and internals under an allocation');
  const model = `${used.name}@${used.revision}`;
  const openai = new OpenAI({
    apiKey: access.key,
    baseURL: `${world.facilityUrl}/v1`,
    maxRetries: 3,
    timeout: 120_000,
  });
  const progress = narrator.progress('waiting for the model to be served');
  progress.update(0, model);
  const completion = await openai.completions.create({
    model,
    prompt: used.prompt,
    max_tokens: 12,
    temperature: 0,
    logprobs: 3,
  });
  progress.done(model);
  const [choice] = completion.choices;
  narrator.fact('prompt', JSON.stringify(used.prompt));
  narrator.fact('completion', JSON.stringify(choice?.text));
  const logprobs = choice?.logprobs;
  narrator.table(
    ['token', 'log-probability', 'alternatives'],
    (logprobs?.tokens ?? []).slice(0, 5).map((token, i) => [
      JSON.stringify(token),
      (logprobs?.token_logprobs?.[i] ?? Number.NaN).toFixed(3),
      Object.entries(logprobs?.top_logprobs?.[i] ?? {})
        .map(([text, logprob]) => `${JSON.stringify(text)} ${logprob.toFixed(2)}`)
        .join('  '),
    ]),
  );
  narrator.check(
    'every generated token has a log-probability',
    (logprobs?.token_logprobs ?? []).every((p) => (p ?? -1) <= 0) && (logprobs?.tokens?.length ?? 0) > 0,
  );

  const caller = world.api.as(access.key);
  const captured = await caller.call(
    createCapture,
    {
      body: {
        model,
        input: { text: used.prompt },
        sites: ['blocks.*.hook_resid_post', 'blocks.*.attn.hook_pattern'],
      },
    },
    { timeoutMs: 120_000 },
  );
  const file = Buffer.from(
    await (await fetch(captured.url, { signal: AbortSignal.timeout(60_000) })).arrayBuffer(),
  );
  writeFileSync(join(world.options.demoDir, 'capture.safetensors'), file);
  const intact = createHash('sha256').update(file).digest('hex') === captured.sha256;
  narrator.table(
    ['site', 'shape', 'bytes'],
    captured.tensors.map((t) => [t.site, t.shape.join(' × '), String(t.bytes)]),
  );
  narrator.check('the capture arrives whole as safetensors', intact, `${file.byteLength} bytes`);

  const balance = await caller.call(showAllocation, { params: { allocationId: access.allocationId } });
  narrator.table(
    ['unit', 'granted', 'held', 'used', 'available'],
    balance.balances.map((b) => [
      b.unit,
      String(b.granted),
      String(b.held),
      String(b.used),
      String(b.available),
    ]),
  );
  narrator.check(
    'nothing stays held once requests have ended',
    balance.balances.every((b) => b.held === 0),
  );
  await showRefusals(world, access, openai, model, used);
  const race = await raceForUnits(world, suiteId, model, used.prompt);
  world.report['use'] = {
    model,
    completion: { id: completion.id, text: choice?.text, logprobs },
    capture: { ...captured, url: undefined },
    balances: balance.balances,
    race,
  };
  return { requestId: completion.id, captureId: captured.captureId };
}

async function showRefusals(
  world: World,
  access: GrantedAccess,
  openai: OpenAI,
  model: string,
  used: UsedModel,
): Promise<void> {
  const { narrator } = world;
  const caller = world.api.as(access.key);
  const before = await caller.call(showAllocation, { params: { allocationId: access.allocationId } });
  const overLimit = await statusOf(
    openai.completions.create(
      { model, prompt: Array.from({ length: 200 }, () => used.prompt), max_tokens: 120 },
      { maxRetries: 0 },
    ),
  );
  const after = await caller.call(showAllocation, { params: { allocationId: access.allocationId } });
  narrator.check(
    'a request beyond the allocation is refused and costs nothing',
    overLimit.status === 402 && JSON.stringify(after.balances) === JSON.stringify(before.balances),
    overLimit.message,
  );
  const applicant = world.labs[1]?.researcher;
  if (applicant === undefined) throw new Error('the second lab has a researcher');
  const narrow = await applicant.api.call(createAllocationKey, {
    params: { allocationId: access.allocationId },
    body: { label: 'outputs only', scopes: ['outputs'] },
  });
  const noScope = await problemOf(
    world.api
      .as(narrow.token)
      .call(createCapture, { body: { model, input: { text: 'x' }, sites: ['blocks.0.hook_resid_post'] } }),
  );
  narrator.check(
    'a scope that the key does not carry is refused (403)',
    noScope === 'auth.scope-missing',
    noScope,
  );
}

/** Twenty requests at once on units for five: exactly five may win, whoever comes first. */
async function raceForUnits(world: World, suiteId: string, model: string, prompt: string): Promise<object> {
  const { allocationId, key } = await grantSmallAllocation(world, suiteId, raceTokens * raceCovered);
  const openai = new OpenAI({
    apiKey: key,
    baseURL: `${world.facilityUrl}/v1`,
    maxRetries: 0,
    timeout: 120_000,
  });
  const outcomes = await Promise.all(
    Array.from({ length: raceRequests }, () =>
      statusOf(openai.completions.create({ model, prompt, max_tokens: raceTokens, temperature: 0 })),
    ),
  );
  const served = outcomes.filter((o) => o.status === 200).length;
  const refused = outcomes.filter((o) => o.status === 402).length;
  const { balances } = await world.api.as(key).call(showAllocation, { params: { allocationId } });
  const [tokens] = balances;
  world.narrator.check(
    `${raceRequests} requests at once on units for ${raceCovered} never overspend`,
    served === raceCovered &&
      served + refused === raceRequests &&
      (tokens?.used ?? 0) <= raceTokens * raceCovered &&
      tokens?.available === raceTokens * raceCovered - (tokens?.used ?? 0),
    `${served} served, ${refused} refused, ${tokens?.used} of ${tokens?.granted} tokens used`,
  );
  return { allocationId, served, refused, balances };
}

async function statusOf(call: PromiseLike<unknown>): Promise<{ status: number; message: string }> {
  try {
    await call;
    return { status: 200, message: '' };
  } catch (error) {
    if (error instanceof OpenAI.APIError)
      return { status: Number(error.status ?? 0), message: error.message };
    throw error;
  }
}
