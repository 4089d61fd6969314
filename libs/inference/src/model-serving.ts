import { type ProblemCode, serveProblem } from '@beamtime/contracts';
import { err, type ModelId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { ModelServer, ModelServers, ServerAnswer, ServerCall } from './ports.js';
import type { ServedModels } from './postgres/served-models.js';
import type { LoadMeter } from './replicas/load-meter.js';
import { TunnelBroken } from './tunnel/tunnel-connection.js';

/** A person waits this long for a model that is not loaded; then they are told to come back. */
const warmUpWaitMs = 90_000;
const warmUpPollMs = 200;
/** Longest single request to a model; longer work is a job. */
const requestTimeoutMs = 120_000;
/** Largest JSON answer of a runner that is read into memory. */
const answerBytesMax = 64 * 1024 * 1024;

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;
type Call = Omit<ServerCall, 'timeoutMs'>;

/** What runners answer, and which of our codes it is. */
const problemOfRunner: Readonly<Record<string, ProblemCode>> = {
  'unknown-revision': 'resource.not-found',
  'context-exceeded': 'inference.context-exceeded',
  'unknown-site': 'inference.unknown-site',
  'too-large': 'limit.exceeded',
  'bad-request': 'request.invalid',
};

/** Brings requests to a replica of a model, starting one where there is none. */
export class ModelServing {
  constructor(
    private readonly servers: ModelServers,
    private readonly served: ServedModels,
    private readonly meter: LoadMeter,
    private readonly waitMs: number = warmUpWaitMs,
  ) {}

  /**
   * Calls a replica; a refusal of the runner becomes a problem in our words, a broken connection too. When the connection
   * breaks before anything was answered, another replica is tried, once. That is safe: a request only reads the model,
   * nothing of it has reached anybody, and its caller holds units once, whoever answers.
   */
  async call(modelId: ModelId, call: Call): Expected<ServerAnswer> {
    const server = await this.ready(modelId, call.signal);
    if (!server.ok) return server;
    let answer: ServerAnswer;
    try {
      answer = await this.ask(modelId, server.value, call);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return err(
        problem('inference.runner-failed', `The connection to the model broke: ${why}; you were not charged`),
      );
    }
    if (answer.status < 400) return ok(answer);
    return err(await refusal(answer));
  }

  /** Calls a replica and parses its JSON answer, unchecked: the runner is ours and generated from the same schema. */
  async callJson<T>(modelId: ModelId, call: Call): Expected<T> {
    const answer = await this.call(modelId, call);
    if (!answer.ok) return answer;
    try {
      return ok(JSON.parse(await readText(answer.value.body)) as T);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return err(
        problem(
          'inference.runner-failed',
          `The model server broke off its answer: ${why}; you were not charged`,
        ),
      );
    }
  }

  private async ask(modelId: ModelId, server: ModelServer, call: Call): Promise<ServerAnswer> {
    const whole = { ...call, timeoutMs: requestTimeoutMs };
    try {
      return await server.request(whole);
    } catch (error) {
      const mayTryAgain = error instanceof TunnelBroken && error.elsewhere && call.signal?.aborted !== true;
      const other = mayTryAgain ? this.servers.find(modelId, server) : undefined;
      if (other === undefined) throw error;
      return other.request(whole);
    }
  }

  /** A live replica of a model; asks scheduling for one and waits where there is none. */
  private async ready(modelId: ModelId, signal?: AbortSignal): Expected<ModelServer> {
    const deadlineMs = Date.now() + this.waitMs;
    let waited: (() => void) | undefined;
    try {
      for (;;) {
        const server = this.servers.find(modelId);
        await this.served.use(modelId, server !== undefined);
        if (server !== undefined) return ok(server);
        if (Date.now() >= deadlineMs || signal?.aborted === true) {
          return err(
            problem(
              'inference.model-warming-up',
              'No cluster serves this model yet; one has been asked for. Try again in a few seconds',
            ),
          );
        }
        waited ??= this.meter.begin(modelId, null);
        await new Promise((resolve) => setTimeout(resolve, warmUpPollMs));
      }
    } finally {
      waited?.();
    }
  }
}

async function refusal(answer: ServerAnswer): Promise<Problem<ProblemCode>> {
  const text = await readText(answer.body).catch(() => '');
  const parsed = serveProblem.safeParse(safeJson(text));
  if (!parsed.success || answer.status >= 500) {
    return problem(
      'inference.runner-failed',
      'The model server failed on this request; you were not charged',
    );
  }
  const code =
    problemOfRunner[parsed.data.code] ?? (answer.status === 404 ? 'resource.not-found' : 'limit.exceeded');
  const field = parsed.data.field === undefined ? '' : `${parsed.data.field}: `;
  return problem(code, `${field}${parsed.data.detail}`);
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.byteLength;
    if (size > answerBytesMax) throw new Error('answer too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
