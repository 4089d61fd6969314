import { expect, it } from 'vitest';
import { deadlineAtRisk, whyOverdue } from './deadline.js';

const deadlineMs = Date.parse('2026-01-01T00:10:00Z');

it('a deadline is at risk when the whole time bound no longer fits before it', () => {
  const nowMs = Date.parse('2026-01-01T00:00:00Z');
  expect(deadlineAtRisk(nowMs, deadlineMs, 600)).toBeNull();
  expect(deadlineAtRisk(nowMs, deadlineMs, 601)).toContain('is 600 s away, and it may need 601 s');
  expect(deadlineAtRisk(deadlineMs + 5_000, deadlineMs, 1)).toContain('is 0 s away');
});

it('who was late is told by when it should have ended', () => {
  expect(whyOverdue(deadlineMs)).toBe('deadline: it had not ended by 2026-01-01T00:10:00.000Z');
});
