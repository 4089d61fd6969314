/** The most that an upstream may send for one request: far above any completion, far below what hurts. */
const answerBytesMax = 16 * 1024 * 1024;

/**
 * A fetch that ends with a signal also while the body comes, takes no redirect (a key goes only where the operator
 * said), and breaks off an answer that is too large.
 */
export function boundedFetch(signal: AbortSignal): typeof fetch {
  return async (input, init) => {
    const signals = [signal, ...(init?.signal ? [init.signal] : [])];
    const answer = await fetch(input, { ...init, redirect: 'error', signal: AbortSignal.any(signals) });
    if (answer.body === null) return answer;
    let bytes = 0;
    const bounded = new TransformStream<Uint8Array, Uint8Array>({
      transform(part, controller) {
        bytes += part.byteLength;
        if (bytes > answerBytesMax) controller.error(new Error('The answer is too large'));
        else controller.enqueue(part);
      },
    });
    const { headers, status, statusText } = answer;
    return new Response(answer.body.pipeThrough(bounded), { headers, status, statusText });
  };
}
