import { describe, expect, it } from 'vitest';
import { type SaidItem, SayTogether } from './say-together.js';

const accept = (jobId: string): SaidItem => ({ kind: 'accept', jobId, attempt: 1 });
const never = new AbortController().signal;
const fine = { ok: true as const, assignment: null };
class Passing extends Error {}

function sayTogether(send: (items: SaidItem[]) => Promise<(typeof fine | Refused)[]>): SayTogether {
  return new SayTogether({
    send,
    meaning: ({ code }) => new Error(code),
    isPassing: (error) => error instanceof Passing,
  });
}
type Refused = { ok: false; problem: { code: string; detail: string } };

describe('what an agent says', () => {
  it('at the same time travels in one call, and each is answered by itself', async () => {
    const calls: string[][] = [];
    const together = sayTogether((items) => {
      calls.push(items.map((item) => item.jobId));
      return Promise.resolve(
        items.map((item) => (item.jobId === 'b' ? { ok: false, problem: { code: 'no', detail: '' } } : fine)),
      );
    });
    const said = await Promise.allSettled(['a', 'b', 'c'].map((jobId) => together.say(accept(jobId), never)));
    expect(said.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(calls).toEqual([['a', 'b', 'c']]);
  });

  it('is said again, before what came later, until it is heard', async () => {
    const calls: string[][] = [];
    let away = 2;
    const together = sayTogether((items) => {
      calls.push(items.map((item) => item.jobId));
      return away-- > 0 ? Promise.reject(new Passing()) : Promise.resolve(items.map(() => fine));
    });
    const first = together.say(accept('a'), never);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const second = together.say(accept('b'), never);
    await Promise.all([first, second]);
    expect(calls[0]).toEqual(['a']);
    expect(calls.at(-1)).toEqual(['a', 'b']);
  });

  it('and the facility could not do for now is said again alone', async () => {
    const calls: string[][] = [];
    const together = sayTogether((items) => {
      calls.push(items.map((item) => item.jobId));
      const broken: Refused = { ok: false, problem: { code: 'server.internal', detail: '' } };
      return Promise.resolve(items.map((item) => (item.jobId === 'a' && calls.length === 1 ? broken : fine)));
    });
    await Promise.all(['a', 'b'].map((jobId) => together.say(accept(jobId), never)));
    expect(calls).toEqual([['a', 'b'], ['a']]);
  });

  it('is dropped once its attempt is given up', async () => {
    const calls: string[][] = [];
    const together = sayTogether((items) => {
      calls.push(items.map((item) => item.jobId));
      return Promise.resolve(items.map(() => fine));
    });
    const gone = new AbortController();
    const said = together.say(accept('a'), gone.signal);
    const other = together.say(accept('b'), never);
    gone.abort(new Error('given up'));
    await expect(said).rejects.toThrow('given up');
    await other;
    expect(calls).toEqual([['b']]);
  });

  it('fails together when the whole agent is refused', async () => {
    const together = sayTogether(() => Promise.reject(new Error('superseded')));
    const said = await Promise.allSettled(['a', 'b'].map((jobId) => together.say(accept(jobId), never)));
    expect(said.map((one) => one.status)).toEqual(['rejected', 'rejected']);
  });
});
