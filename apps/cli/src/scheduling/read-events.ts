import { type JobStreamMessage, jobStreamMessageSchema } from '@beamtime/contracts';

/** Server-sent events of a response as messages; lines that are none of ours are passed over. */
export async function* readEvents(response: Response): AsyncGenerator<JobStreamMessage> {
  if (response.body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(bytes, { stream: true });
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const message = parseEvent(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (message !== undefined) yield message;
    }
  }
}

function parseEvent(block: string): JobStreamMessage | undefined {
  const data = block
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length))
    .join('\n');
  if (data === '') return undefined;
  try {
    return jobStreamMessageSchema.safeParse(JSON.parse(data)).data;
  } catch {
    return undefined;
  }
}
