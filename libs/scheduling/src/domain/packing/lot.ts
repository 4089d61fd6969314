/** A whole number from 0 below `count`, drawn by a text: the same on every machine. FNV-1a and MurmurHash3's mixing. */
export function drawBelow(count: number, text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return Math.floor((((value ^ (value >>> 16)) >>> 0) / 2 ** 32) * count);
}
