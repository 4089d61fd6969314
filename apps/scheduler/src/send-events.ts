import type { Streamed } from '@beamtime/scheduling';
import type { Response } from 'express';

/** A comment line now and then keeps proxies from closing a quiet stream. */
const heartbeatMs = 15_000;
/** A reader that was cut off may come back after this. */
const retryMs = 2_000;
/** A reader that takes nothing for so long is gone, or holds up nothing but our memory. */
const stalledMs = 60_000;

/** What a browser's EventSource sends when it comes back. */
export function lastEventId(response: Response): string | undefined {
  const sent = response.req.headers['last-event-id'];
  return typeof sent === 'string' && sent !== '' ? sent : undefined;
}

/**
 * Writes messages as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) until they end
 * or the reader is gone. Nothing is read ahead of a slow reader: the next message is asked for when it has taken this one.
 */
export async function sendEvents(response: Response, messages: AsyncIterable<Streamed>): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.write(`retry: ${retryMs}\n\n`);
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(': alive\n\n');
  }, heartbeatMs);
  try {
    for await (const { id, message } of messages) {
      if (response.destroyed) return;
      const head = id === '' ? '' : `id: ${id}\n`;
      const flows = response.write(`${head}event: ${message.type}\ndata: ${JSON.stringify(message)}\n\n`);
      if (!flows && !(await drained(response))) return;
    }
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}

/** Whether the reader has taken what waits; false when it is gone or has stalled, and then the connection is cut. */
function drained(response: Response): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (flows: boolean) => (): void => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      response.off('close', onClose);
      if (!flows) response.destroy();
      resolve(flows);
    };
    const onDrain = done(true);
    const onClose = done(false);
    const timer = setTimeout(onClose, stalledMs);
    response.once('drain', onDrain);
    response.once('close', onClose);
  });
}
