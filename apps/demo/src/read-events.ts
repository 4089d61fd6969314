import {
  type ApiClient,
  type JobStreamMessage,
  jobStreamMessageSchema,
  streamJobs,
} from '@beamtime/contracts';

/** Reads the live stream of a suite's jobs until aborted; reconnects when the connection breaks. */
export async function followJobs(
  api: ApiClient,
  suiteId: string,
  onMessage: (message: JobStreamMessage) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const response = await api.raw(streamJobs, { query: { suiteId } }, { signal, timeoutMs: 3_600_000 });
      if (response.body !== null) await readEvents(response.body, onMessage);
    } catch {
      // Broken or aborted: the loop knows which.
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Parses server-sent events (HTML standard, section 9.2): `data:` lines up to an empty line. */
async function readEvents(
  body: ReadableStream<Uint8Array>,
  onMessage: (message: JobStreamMessage) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of body) {
    rest += decoder.decode(part, { stream: true });
    const events = rest.split(/\r?\n\r?\n/);
    rest = events.pop() ?? '';
    for (const event of events) {
      const data = event
        .split(/\r?\n/)
        .flatMap((line) => (line.startsWith('data:') ? [line.slice(5).replace(/^ /, '')] : []))
        .join('\n');
      if (data === '') continue;
      const parsed = jobStreamMessageSchema.safeParse(JSON.parse(data));
      if (parsed.success) onMessage(parsed.data);
    }
  }
}
