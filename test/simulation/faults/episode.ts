import type { INestApplicationContext } from '@nestjs/common';
import type { EndFigures } from './check-end.js';
import type { Violation } from './world.js';

export interface EpisodeOptions {
  readonly seed: number;
  readonly jobs: number;
  readonly labs: number;
  readonly gpusPerLab: number;
  /** Jobs submitted per second. */
  readonly jobsPerSecond: number;
  /** The longest program takes so many seconds; most take far less. */
  readonly stepsMost: number;
  /** Only these faults strike. */
  readonly only?: readonly string[];
  /** Multiplies the probabilities of all faults. */
  readonly intensity?: number;
}

export interface EpisodeHooks {
  /** Gets every line of the trace. */
  readonly onLine?: (line: string) => void;
  /** Gets the name of each fault that could strike, in the order in which they could. */
  readonly onPossibleFault?: (name: string) => void;
  /** Changes each process of the facility as it starts: a test plants a bug here and sees it found. */
  readonly spoil?: (facility: INestApplicationContext) => void;
}

export interface EpisodeResult extends EndFigures {
  readonly violations: readonly Violation[];
  readonly faults: readonly string[];
  readonly virtualSeconds: number;
  readonly statements: number;
  readonly messages: number;
  readonly refused: number;
  readonly deadlocks: number;
  readonly lockWaits: number;
  /** SHA-256 over every statement with its parameters and answer, every message and every fault: a replay has the same. */
  readonly trace: string;
}
