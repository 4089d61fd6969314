import {
  type ApiClient,
  type CallInput,
  type EndpointSpec,
  type JobStreamMessage,
  jobStreamMessageSchema,
  ProblemError,
  UnreachableError,
} from '@beamtime/contracts';

interface Received {
  readonly id: string | undefined;
  readonly message: JobStreamMessage;
}

/** A stream lives until it ends or is cut: longer than any call. */
const streamTimeoutMs = 2_147_000_000;
/** The facility sends a line at least every 15 s: a longer silence is a dead connection. */
const silenceMs = 45_000;
const retryBaseMs = 500;
const retryMaxMs = 10_000;

/** Server-sent events of a response as messages; lines that are none of ours are passed over. */
export async function* readEvents(response: Response): AsyncGenerator<Received> {
  if (response.body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(bytes, { stream: true });
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const received = parseEvent(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (received !== undefined) yield received;
    }
  }
}

function parseEvent(block: string): Received | undefined {
  const fields = (name: string): string[] =>
    block.split('\n').flatMap((line) => (line.startsWith(`${name}: `) ? [line.slice(name.length + 2)] : []));
  const data = fields('data').join('\n');
  if (data === '') return undefined;
  try {
    const message = jobStreamMessageSchema.safeParse(JSON.parse(data)).data;
    return message === undefined ? undefined : { id: fields('id').at(-1), message };
  } catch {
    return undefined;
  }
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** Told once when the connection is lost, and when it is back. */
  readonly onLost?: (why: string) => void;
  readonly onBack?: () => void;
}

/**
 * A live stream for as long as the reader wishes: when the connection is lost it is opened again behind the last message.
 * Ends after the message `end`, or when the signal is given. The first connection must succeed.
 */
export async function* followStream<const E extends EndpointSpec>(
  client: ApiClient,
  spec: E,
  input: CallInput<E>,
  { signal, onLost, onBack }: FollowOptions,
): AsyncGenerator<JobStreamMessage> {
  let lastId: string | undefined;
  let failures = 0;
  let everConnected = false;
  while (!signal.aborted) {
    // Closes what hangs, be it a stream or the attempt to open one.
    const connection = new AbortController();
    const close = (): void => connection.abort();
    signal.addEventListener('abort', close, { once: true });
    const silence = new Silence(close);
    let why = 'the facility closed the connection';
    try {
      const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
      const options = { timeoutMs: streamTimeoutMs, headers, signal: connection.signal };
      const response = await client.raw(spec, input, options);
      if (failures > 0) onBack?.();
      failures = 0;
      everConnected = true;
      for await (const { id, message } of readEvents(silence.watch(response))) {
        lastId = id ?? lastId;
        if (message.type === 'end') return;
        yield message;
      }
    } catch (error) {
      if (signal.aborted) return;
      const away = !(error instanceof ProblemError) || error.problem.status >= 500;
      if (!everConnected && !connection.signal.aborted) throw error;
      if (!away) throw error;
      why = error instanceof UnreachableError ? error.message : 'the connection went dead';
    } finally {
      silence.stop();
      close();
      signal.removeEventListener('abort', close);
    }
    if (failures++ === 0) onLost?.(why);
    await pause(Math.min(retryMaxMs, retryBaseMs * 2 ** failures) * (0.5 + Math.random() / 2), signal);
  }
}

/** Notices when nothing comes any more, not even the lines that keep a connection open. */
class Silence {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly onSilence: () => void) {
    this.wake();
  }

  watch(response: Response): Response {
    if (response.body === null) return response;
    const wake = (): void => this.wake();
    const heard = new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        wake();
        controller.enqueue(bytes);
      },
    });
    return new Response(response.body.pipeThrough(heard));
  }

  private wake(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.onSilence, silenceMs);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
