/** A program of this machine that serves a model, and the token that it demands. */
export interface ServedModel {
  readonly port: number;
  readonly token: string;
  readonly revisions: readonly string[];
}
