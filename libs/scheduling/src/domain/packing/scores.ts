export type PackingScore =
  | 'random'
  | 'dot-product'
  | 'clustering'
  | 'packing'
  | 'best-fit'
  | 'fgd'
  | 'beamtime';
