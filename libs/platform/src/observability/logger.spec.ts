import type { DestinationStream } from 'pino';
import { QueryFailedError } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.js';

describe('the log', () => {
  it('shows that a statement failed without the values it carried, which may be a secret ballot', () => {
    let text = '';
    const destination: DestinationStream = {
      write: (line) => {
        text += line;
      },
    };
    const driverError = Object.assign(new Error('check violated'), {
      detail: 'Failing row contains (ballot)',
    });
    const error = new QueryFailedError('INSERT INTO box VALUES ($1)', ['ballot'], driverError);
    createLogger('test', 'error', destination).error({ err: error }, 'request failed');
    expect(text).toContain('check violated');
    expect(text).toContain('INSERT INTO box');
    expect(text).not.toContain('ballot');
  });
});
