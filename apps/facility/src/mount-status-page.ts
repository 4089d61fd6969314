import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import express, { type Request, type Response } from 'express';

const pages = fileURLToPath(new URL('../../console/public', import.meta.url));

/** The status page at `/`, its script and style under `/console`. */
export function mountStatusPage(app: NestExpressApplication): void {
  app.use('/console', express.static(pages, { maxAge: '5m' }));
  app.use((request: Request, response: Response, next: () => void) => {
    if (request.path !== '/' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      next();
      return;
    }
    response.sendFile('index.html', { root: pages });
  });
}
