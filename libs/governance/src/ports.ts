import type { ElectorateLab } from './domain/draw-roll.js';

/** Port: the labs and their people as they are now; identity knows them, the app joins. */
export interface Electorate {
  labs(): Promise<readonly ElectorateLab[]>;
}
export const ELECTORATE = Symbol('Electorate');

/** A cell of the landscape: how many models the catalogue has of one language, architecture and size. */
export interface LandscapeCount {
  readonly language: string;
  readonly family: string;
  /** Of one model; the view puts it into decades. */
  readonly parameters: number;
  readonly models: number;
}

/** Port: the models that there are already; the catalogue knows them, the app joins. */
export interface Landscape {
  models(): Promise<readonly LandscapeCount[]>;
}
export const LANDSCAPE = Symbol('Landscape');

/** Port: the FLOPs utilisation that finished runs reached on a GPU type, or null while none has finished. */
export interface MeasuredUtilisation {
  on(gpuType: string): Promise<number | null>;
}
export const MEASURED_UTILISATION = Symbol('MeasuredUtilisation');
