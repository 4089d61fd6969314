import { expect, it } from 'vitest';
import { LoginThrottle } from './login-throttle.js';

it('blocks an address after ten failures, for the rest of the minute, and no other address', () => {
  let nowMs = 0;
  const throttle = new LoginThrottle(() => nowMs);
  for (let i = 0; i < 10; i++) {
    expect(throttle.blocks('a')).toBe(false);
    throttle.failed('a');
  }
  expect(throttle.blocks('a')).toBe(true);
  expect(throttle.blocks('b')).toBe(false);
  nowMs = 60_001;
  expect(throttle.blocks('a')).toBe(false);
});

it('keeps its memory bounded when the addresses never end', () => {
  const throttle = new LoginThrottle(() => 0);
  for (let i = 0; i < 12_000; i++) throttle.failed(String(i));
  expect(throttle.size).toBe(10_000);
});
