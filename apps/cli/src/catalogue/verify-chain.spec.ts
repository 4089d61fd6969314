import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PublishedRevision, verifyChain } from './verify-chain.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A chain as the runner writes it, with what would be published of it. */
function aChain(steps: number, checkpoints: readonly number[]) {
  const lines: string[] = [];
  const revisions: PublishedRevision[] = [];
  let head = sha256('beamtime.step-chain/1');
  const add = (entry: object): void => {
    const line = JSON.stringify(entry);
    lines.push(line);
    head = sha256(`${head}\n${line}`);
  };
  for (let step = 0; step <= steps; step++) {
    if (step > 0) {
      add({ step, batch: sha256(`batch ${step}`), loss: '0x1.8fab1c0000000p+2', gradientNorm: '0x0.0p+0' });
    }
    if (checkpoints.includes(step)) {
      const weightsSha256 = sha256(`weights ${step}`);
      add({ step, weights: weightsSha256 });
      revisions.push({ step, weightsSha256, chainSha256: head });
    }
  }
  return { lines, revisions, head };
}

const chains = fc
  .tuple(fc.integer({ min: 1, max: 12 }), fc.uniqueArray(fc.nat(12), { maxLength: 5 }))
  .map(([steps, checkpoints]) => aChain(steps, [...checkpoints, steps]));

describe('a hash chain of steps', () => {
  it('that a run wrote proves every revision, and gives its head', async () => {
    await fc.assert(
      fc.asyncProperty(chains, async ({ lines, revisions, head }) => {
        const report = await verifyChain(lines, revisions);
        expect(report).toMatchObject({ fault: null, head, proven: revisions.length });
      }),
    );
  });

  it('in which any character is changed, or any line is missing, doubled or moved, proves nothing', async () => {
    await fc.assert(
      fc.asyncProperty(chains, fc.nat(), fc.nat(), fc.nat(3), async ({ lines, revisions }, a, b, kind) => {
        const at = a % lines.length;
        const line = lines[at] ?? '';
        const changed = [...lines];
        if (kind === 0) {
          const where = b % line.length;
          changed[at] = line.slice(0, where) + (line[where] === '0' ? '1' : '0') + line.slice(where + 1);
        } else if (kind === 1) changed.splice(at, 1);
        else if (kind === 2) changed.splice(at, 0, line);
        else changed.splice(b % changed.length, 0, ...changed.splice(at, 1));
        fc.pre(changed.join('\n') !== lines.join('\n'));
        expect((await verifyChain(changed, revisions)).fault).not.toBeNull();
      }),
      { numRuns: 300 },
    );
  });

  it('of another run does not prove published weights', async () => {
    const { lines, revisions } = aChain(4, [0, 4]);
    const forged = revisions.map((one) => ({ ...one, weightsSha256: sha256('other') }));
    expect((await verifyChain(lines, forged)).fault).toBe(
      'step0: the published weights are not those of the chain',
    );
    const more = [...revisions, { step: 3, weightsSha256: sha256('x'), chainSha256: sha256('y') }];
    expect((await verifyChain(lines, more)).fault).toBe(
      'step3 is published, and the chain has no checkpoint of it',
    );
  });
});
