/** A program of this cluster that serves a model, and the token that it demands. */
export interface ServedModel {
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly revisions: readonly string[];
}
