import 'reflect-metadata';
import { explainFailedStart } from '@beamtime/platform';
import { startFacility } from './start-facility.js';

async function main(): Promise<void> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  say('Beamtime is starting …');
  const facility = await startFacility(process.env, say);
  say('');
  say(`  Status page   ${facility.url}/`);
  say(`  API and docs  ${facility.url}/docs`);
  for (const [part, where] of Object.entries(facility.parts)) say(`  ${part.padEnd(13)} ${where}`);
  say(`  State         ${facility.stateDir}`);
  say('');
  say('Ctrl-C stops everything.');
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    say('Stopping …');
    facility.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

main().catch((error: unknown) => {
  const { exitCode, text } = explainFailedStart(error);
  process.stderr.write(`${text}\n`);
  process.exit(exitCode);
});
