import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/** Timers fire on a grid, so that many of them share one turn of the event loop. */
const gridMs = 10;
/** What the wall clocks show when a simulation begins. */
export const epochMs = Date.UTC(2030, 0, 1);

/** One process on one machine: its clock, and whether it runs. */
export class Host {
  alive = true;
  frozenUntilMs = 0;

  constructor(
    readonly name: string,
    readonly time: VirtualTime,
    /** How its clock errs: wall time by `offsetMs`, and a second of its own takes 1/`rate` s. */
    readonly clock: { readonly offsetMs: number; readonly rate: number },
    /** What the world draws for it: how long its statements and messages take. */
    readonly random: () => number,
    /** What its code gets when it asks for randomness. */
    public entropy: () => number = random,
  ) {}

  get monotonicMs(): number {
    return this.time.nowMs * this.clock.rate;
  }
  get wallMs(): number {
    return Math.floor(epochMs + this.clock.offsetMs + this.time.nowMs * this.clock.rate);
  }
  get frozen(): boolean {
    return this.frozenUntilMs > this.time.nowMs;
  }

  /** Runs nothing of this process until then; what it started elsewhere goes on. */
  freeze(forMs: number): void {
    this.frozenUntilMs = Math.max(this.frozenUntilMs, this.time.nowMs + forMs);
  }

  /** Runs code as this process: its clock, its timers, its network. */
  run<T>(work: () => T): T {
    return current.run(this, work);
  }
}

export const current = new AsyncLocalStorage<Host>();

class Timer {
  cancelled = false;
  constructor(
    public atMs: number,
    public order: number,
    readonly host: Host | undefined,
    readonly fire: () => unknown,
    readonly serial = false,
  ) {}
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
  [Symbol.toPrimitive](): number {
    return this.order;
  }
}

/**
 * Time that passes only when nothing is left to do. While `installVirtualTime` is in force, the timers and clocks of JavaScript are those of
 * whatever host the running code belongs to (an AsyncLocalStorage tells); code of no host keeps the real ones.
 */
export class VirtualTime {
  nowMs = 0;
  /** Callbacks of setImmediate that are still to come. */
  immediates = 0;
  /** What `fetch` does for code of a host. */
  network: (host: Host, url: string, init: RequestInit) => Promise<Response> = () =>
    Promise.reject(new TypeError('there is no network'));
  private readonly heap: Timer[] = [];
  private order = 0;

  /** At a time of the world, on no host's clock; or on a host, where a freeze defers it and a crash drops it. */
  at(atMs: number, host: Host | undefined, fire: () => unknown): Timer {
    return this.add(atMs, host, fire, false);
  }

  private add(atMs: number, host: Host | undefined, fire: () => unknown, serial: boolean): Timer {
    const gridded = Math.ceil(Math.max(atMs, this.nowMs) / gridMs) * gridMs;
    const timer = new Timer(gridded, this.order++, host, fire, serial);
    this.push(timer);
    return timer;
  }

  /** Work of the world itself that takes real time, as ending connections does; nothing else happens meanwhile. */
  serially(delayMs: number, work: () => Promise<void>): void {
    this.add(this.nowMs + delayMs, undefined, work, true);
  }

  after(delayMs: number, host: Host | undefined, fire: () => unknown): Timer {
    return this.at(this.nowMs + delayMs, host, fire);
  }

  sleep(delayMs: number, host: Host | undefined): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, host, resolve));
  }

  /** Fires what is due next and answers the serial work to be done now; undefined when nothing is due before `untilMs`. */
  advance(untilMs: number): (() => unknown)[] | undefined {
    const first = this.heap[0];
    if (first === undefined || first.atMs > untilMs) return undefined;
    this.nowMs = Math.max(this.nowMs, first.atMs);
    const serial: (() => unknown)[] = [];
    for (let next = this.heap[0]; next !== undefined && next.atMs <= this.nowMs; next = this.heap[0]) {
      const timer = this.pop();
      if (timer === undefined || timer.cancelled || timer.host?.alive === false) continue;
      if (timer.host !== undefined && timer.host.frozenUntilMs > this.nowMs) {
        timer.atMs = Math.ceil(timer.host.frozenUntilMs / gridMs) * gridMs;
        this.push(timer);
        continue;
      }
      if (timer.serial) serial.push(timer.fire);
      else if (timer.host === undefined) timer.fire();
      else current.run(timer.host, timer.fire);
    }
    return serial;
  }

  private push(timer: Timer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!precedes(timer, heap[up] as Timer)) break;
      heap[at] = heap[up] as Timer;
      at = up;
    }
    heap[at] = timer;
  }

  private pop(): Timer | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && precedes(heap[child + 1] as Timer, heap[child] as Timer)) child++;
      if (!precedes(heap[child] as Timer, last)) break;
      heap[at] = heap[child] as Timer;
      at = child;
    }
    heap[at] = last;
    return top;
  }

  /** Until its handle is cancelled. */
  every(everyMs: number, host: Host, fire: () => void): Timer {
    const handle = new Timer(0, this.order++, host, () => undefined);
    const again = (): void => {
      this.after(everyMs, host, () => {
        if (handle.cancelled) return;
        fire();
        if (!handle.cancelled) again();
      });
    };
    again();
    return handle;
  }
}

/** Takes the place of JavaScript's clocks, timers and `fetch`, for code that runs on a host; answers how to undo it. */
export function installVirtualTime(): () => void {
  const real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
    setImmediate: globalThis.setImmediate,
    Date: globalThis.Date,
    fetch: globalThis.fetch,
  };
  const clocks = {
    dateNow: Date.now,
    performanceNow: performance.now,
    random: Math.random,
    timeout: AbortSignal.timeout,
  };
  const { randomBytes, randomUUID } = crypto;
  // Ids decide ties and the order of locks, so they have to be the same at a replay.
  crypto.randomBytes = ((size: number) => {
    const host = current.getStore();
    if (host === undefined) return randomBytes(size);
    return Buffer.from(Array.from({ length: size }, () => Math.floor(host.entropy() * 256)));
  }) as typeof randomBytes;
  crypto.randomUUID = ((options) => {
    if (current.getStore() === undefined) return randomUUID(options);
    const hex = crypto.randomBytes(16).toString('hex');
    return [8, 12, 16, 20, 32].map((end, n, ends) => hex.slice(n === 0 ? 0 : ends[n - 1], end)).join('-');
  }) as typeof randomUUID;
  syncBuiltinESMExports();
  const later = (fn: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]) => {
    const host = current.getStore();
    if (host === undefined) return real.setTimeout(fn, delayMs, ...args);
    return host.time.after(Math.max(1, delayMs) / host.clock.rate, host, () => {
      fn(...args);
    });
  };
  const repeatedly = (fn: (...args: unknown[]) => void, everyMs = 0, ...args: unknown[]) => {
    const host = current.getStore();
    if (host === undefined) return real.setInterval(fn, everyMs, ...args);
    return host.time.every(Math.max(1, everyMs) / host.clock.rate, host, () => fn(...args));
  };
  const clear = (realClear: (id: never) => void) => (id: unknown) => {
    if (id instanceof Timer) id.cancelled = true;
    else realClear(id as never);
  };
  const immediately = (fn: (...args: unknown[]) => void, ...args: unknown[]) => {
    const host = current.getStore();
    if (host === undefined) return real.setImmediate(fn, ...args);
    host.time.immediates++;
    return real.setImmediate(() => {
      host.time.immediates--;
      fn(...args);
    });
  };
  Object.assign(globalThis, {
    setImmediate: immediately,
    Date: new Proxy(real.Date, {
      construct: (target, args, made: typeof Date) => {
        const host = args.length === 0 ? current.getStore() : undefined;
        return Reflect.construct(target, host === undefined ? args : [host.wallMs], made) as Date;
      },
    }),
    setTimeout: later,
    setInterval: repeatedly,
    clearTimeout: clear(real.clearTimeout),
    clearInterval: clear(real.clearInterval),
    fetch: (url: string, init: RequestInit) => {
      const host = current.getStore();
      return host === undefined ? real.fetch(url, init) : host.time.network(host, url, init);
    },
  });
  Date.now = () => current.getStore()?.wallMs ?? clocks.dateNow();
  performance.now = () => current.getStore()?.monotonicMs ?? clocks.performanceNow.call(performance);
  Math.random = () => (current.getStore()?.entropy ?? clocks.random)();
  AbortSignal.timeout = (ms) => {
    if (current.getStore() === undefined) return clocks.timeout.call(AbortSignal, ms);
    const abort = new AbortController();
    later(() => abort.abort(new DOMException('the call took too long', 'TimeoutError')), ms);
    return abort.signal;
  };
  return () => {
    Object.assign(globalThis, real);
    crypto.randomBytes = randomBytes;
    crypto.randomUUID = randomUUID;
    syncBuiltinESMExports();
    Date.now = clocks.dateNow;
    performance.now = clocks.performanceNow;
    Math.random = clocks.random;
    AbortSignal.timeout = clocks.timeout;
  };
}

/** Microtasks, next ticks and callbacks of sockets that are due. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function precedes(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
