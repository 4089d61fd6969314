import type { DynamicModule, Type } from '@nestjs/common';
import { explainFailedStart } from '../config/explain-failed-start.js';
import { type Config, loadConfig } from '../config/load-config.js';
import { type HttpService, serveHttp } from './serve-http.js';

/**
 * The whole of a service's `main`: configuration from the environment, HTTP, an orderly end on SIGINT and SIGTERM.
 * A setting that is wrong ends the process with status 78 and one line for each.
 */
export async function runService(
  title: string,
  version: string,
  moduleOf: (config: Config) => Type | DynamicModule,
): Promise<void> {
  try {
    const config = loadConfig(process.env);
    const service = await serveHttp(moduleOf(config), {
      title,
      version,
      host: config.BEAMTIME_HOST,
      port: config.PORT,
    });
    endOnSignals(service);
  } catch (error) {
    const { exitCode, text } = explainFailedStart(error);
    process.stderr.write(`${text}\n`);
    process.exit(exitCode);
  }
}

function endOnSignals(service: HttpService): void {
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    service.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
}
