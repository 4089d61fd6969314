/** Limits of the catalogue, and who may read and fill it. */

export const catalogueLimits = {
  /** What S3 takes in one request; larger corpora are registered in parts. */
  corpusBytes: 5 * 1024 ** 3,
  revisionsPerImport: 1_000,
  filesPerRevision: 500,
  /** What one request for confounding or a landscape looks at. */
  modelsPerQuestion: 10_000,
} as const;

export const readableCatalogue = {
  kind: 'public',
  why: 'anyone may see what the consortium has trained; private models are shown only to those who may use them',
} as const;
export const catalogueUploaders = {
  kind: 'person',
  roles: ['researcher', 'delegate', 'operator', 'secretariat'],
} as const;
