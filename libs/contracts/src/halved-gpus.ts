/** Whether a number of GPUs comes from another by halving it, maybe never: 12 is 12, 6 or 3. */
export function isHalving(gpus: number, gpusMin: number): boolean {
  const halvings = Math.log2(gpus / gpusMin);
  return Number.isInteger(halvings) && halvings >= 0;
}
export const halvedGpus = {
  path: ['gpusMin'],
  message: 'gpus halved once or several times, as 3 or 6 of 12',
};
