import { parentPort, workerData } from 'node:worker_threads';
import { present } from '@beamtime/kernel';
import { type ClosedRound, countClosedRound } from './rounds/count-closed-round.js';

// The program of the thread that `countApart` starts: one closed round in, one counted round out.
present(parentPort, 'the port to whoever started the count').postMessage(
  countClosedRound(workerData as ClosedRound, new Date()),
);
