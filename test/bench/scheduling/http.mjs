// The facility's endpoints over real HTTP, with as little work on this side as can be: the benchmark shares its two
// cores with what it measures. Paths, methods and bodies are those of the contracts.
import { Agent, request } from 'node:http';
import { urlOf } from '@beamtime/contracts';

/** An answer that is no success. */
export class Refused extends Error {
  constructor(status, problem) {
    super(`${status} ${problem.code ?? ''}: ${problem.detail ?? ''}`);
    this.status = status;
    this.code = problem.code;
  }
}

/** Keeps connections open; one per caller and as many as it has requests at once. */
export class HttpClient {
  constructor(baseUrl, token, socketsMax = 8) {
    this.baseUrl = baseUrl;
    this.token = token;
    this.agent = new Agent({ keepAlive: true, maxSockets: socketsMax });
  }

  call(spec, input, timeoutMs = 30_000) {
    const body = input.body === undefined ? undefined : Buffer.from(JSON.stringify(input.body));
    const headers = { authorization: `Bearer ${this.token}`, accept: 'application/json' };
    if (body !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = body.length;
    }
    return new Promise((resolve, reject) => {
      const sent = request(
        urlOf(this.baseUrl, spec, input),
        { method: spec.method, headers, agent: this.agent, timeout: timeoutMs },
        (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            try {
              const text = Buffer.concat(chunks).toString('utf8');
              const answer = text === '' ? undefined : JSON.parse(text);
              if (response.statusCode < 300) resolve(answer);
              else reject(new Refused(response.statusCode, answer ?? {}));
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      sent.on('error', (error) => {
        // The server closed an idle connection in the moment in which it was used again; it has heard nothing.
        if (sent.reusedSocket && error.code === 'ECONNRESET')
          this.call(spec, input, timeoutMs).then(resolve, reject);
        else reject(error);
      });
      sent.end(body);
    });
  }

  close() {
    this.agent.destroy();
  }
}
