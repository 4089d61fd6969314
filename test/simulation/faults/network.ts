import type { AgentPrincipal } from '@beamtime/platform';
import type { FacilityHost } from './facility-host.js';
import type { FaultPlan } from './fault-plan.js';
import type { Trace } from './trace.js';
import type { Host, VirtualTime } from './virtual-time.js';

/** Fault probabilities per message. */
export interface MessageFaults {
  readonly requestLost: number;
  readonly answerLost: number;
  /** The same request arrives twice, the copy up to `copyLateMs` later. */
  readonly repeated: number;
  /** It takes up to `lateMs`, and so is overtaken by later ones. */
  readonly late: number;
  /** The agent dies before it sends it. */
  readonly agentKilledBefore: number;
  /** The agent dies after it was served, and before its answer comes. */
  readonly agentKilledAfter: number;
}

export const copyLateMs = 15_000;
const lateMs = 8_000;
/** A broken connection is noticed at once, or never. */
const noticedShare = 0.5;

interface Request {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly agent: AgentPrincipal;
}

/** Everything between agents and the facility: a load balancer before its processes, and lines that fail. */
export class Network {
  messages = 0;
  refused = 0;
  readonly unexpected: string[] = [];
  /** Agents' hosts that are cut off, and until when. */
  readonly cutUntilMs = new Map<string, number>();
  private readonly counts = new Map<string, number>();

  constructor(
    private readonly time: VirtualTime,
    private readonly faults: FaultPlan,
    private readonly rates: MessageFaults,
    private readonly facility: () => readonly FacilityHost[],
    private readonly principalOf: (token: string) => AgentPrincipal,
    private readonly trace: Trace,
    private readonly onAgentKilled: (host: Host) => void,
  ) {}

  /** Stands in for `fetch`. */
  fetch(from: Host, url: string, init: RequestInit): Promise<Response> {
    const path = new URL(url).pathname;
    const method = init.method ?? 'GET';
    const kind = path.replace(/job_[0-9a-z]+/, ':job').replace(/\/\d+(?=\/|$)/, '');
    const number = (this.counts.get(`${from.name}${kind}`) ?? 0) + 1;
    this.counts.set(`${from.name}${kind}`, number);
    const token = new Headers(init.headers).get('authorization')?.replace('Bearer ', '') ?? '';
    const request: Request = {
      name: `message/${from.name}${kind}/${number}`,
      method,
      path,
      body: typeof init.body === 'string' ? JSON.parse(init.body) : undefined,
      agent: this.principalOf(token),
    };
    if (this.faults.strikes(`${request.name}/agent-killed`, this.rates.agentKilledBefore))
      this.onAgentKilled(from);
    // What a dead process still has in hand comes to nothing.
    if (!from.alive) return new Promise(() => undefined);
    this.messages++;
    return this.exchange(from, request, init.signal ?? undefined);
  }

  private exchange(from: Host, request: Request, signal: AbortSignal | undefined): Promise<Response> {
    const { faults, rates } = this;
    const { name } = request;
    return new Promise((resolve, reject) => {
      const gone = new AbortController();
      signal?.addEventListener('abort', () => {
        gone.abort();
        reject(signal.reason as Error);
      });
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const broken = (why: string): void => {
        if (from.random() < noticedShare) this.time.after(20, from, () => reject(new TypeError(why)));
      };
      const deliver = (answered: boolean): void => {
        if (this.isCut(from)) {
          broken('no route to host');
          return;
        }
        void this.serve(request, gone.signal).then((answer) => {
          if (!answered) return;
          if (faults.strikes(`${name}/agent-killed-after`, rates.agentKilledAfter)) {
            this.onAgentKilled(from);
            return;
          }
          if (answer === undefined) {
            broken('the connection was reset');
            return;
          }
          if (faults.strikes(`${name}/answer-lost`, rates.answerLost)) {
            broken('reset by peer');
            return;
          }
          this.time.after(from.random() * 30, from, () => {
            if (this.isCut(from)) broken('no route to host');
            else resolve(answer);
          });
        });
      };
      const late = faults.strikes(`${name}/late`, rates.late)
        ? faults.amount(`${name}/late`, 100, lateMs)
        : 0;
      if (faults.strikes(`${name}/repeated`, rates.repeated)) {
        this.time.after(late + faults.amount(`${name}/repeated`, 10, copyLateMs), undefined, () =>
          deliver(false),
        );
      }
      if (faults.strikes(`${name}/request-lost`, rates.requestLost)) {
        broken('reset by peer');
        return;
      }
      this.time.after(late + from.random() * 30, undefined, () => deliver(true));
    });
  }

  private isCut(host: Host): boolean {
    return (this.cutUntilMs.get(host.name.replace(/#.*/, '')) ?? 0) > this.time.nowMs;
  }

  /** Undefined when the process that took the request ended before it answered, or none was there. */
  private serve(request: Request, gone: AbortSignal): Promise<Response | undefined> {
    const alive = this.facility().filter(({ host }) => host.alive);
    const chosen = alive[Math.floor((alive[0]?.host.random() ?? 0) * alive.length)];
    if (chosen === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const { host } = chosen;
      const open = { host, hangUp: () => resolve(undefined) };
      this.open.add(open);
      this.time.after(0, host, () => {
        void chosen.answer(request.method, request.path, request.body, request.agent, gone).then((answer) => {
          if (!host.alive) return;
          this.open.delete(open);
          if (answer.unexpected !== undefined) this.unexpected.push(`${request.name}: ${answer.unexpected}`);
          if (answer.status === 409) this.refused++;
          this.trace.note(`${this.time.nowMs} ${request.name} ${answer.status}`);
          const text = answer.status === 204 ? null : JSON.stringify(answer.body);
          resolve(new Response(text, { status: answer.status }));
        });
      });
    });
  }

  /** Whoever waits for a process that dies hears nothing, or a reset. */
  private readonly open = new Set<{ readonly host: Host; readonly hangUp: () => void }>();
  /** After a process of the facility has died: those that waited for its answer learn it. */
  noticeDeaths(): void {
    for (const one of this.open) {
      if (one.host.alive) continue;
      this.open.delete(one);
      one.hangUp();
    }
  }
}
