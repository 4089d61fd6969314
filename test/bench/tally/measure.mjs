// One count, measured from inside: how long each part took, and the most memory the process ever held.
import { createReadStream } from 'node:fs';
import { parseArgs } from 'node:util';
import { PabulibReader, pabulibTallyInput, tally, verifyCertificate } from '@beamtime/governance/tally';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rule: { type: 'string', default: 'equal-shares' },
    completion: { type: 'string', default: 'none' },
    threshold: { type: 'string', default: '0' },
  },
});
const seconds = { reading: 0, counting: 0, writing: 0, verifying: 0 };
let last = performance.now();
const lap = (part) => {
  const now = performance.now();
  seconds[part] = (now - last) / 1_000;
  last = now;
};

const reader = new PabulibReader();
const pieces = createReadStream(positionals[0], { encoding: 'utf8', highWaterMark: 1024 * 1024 });
for await (const piece of pieces) reader.push(piece);
const election = reader.finish();
if (!election.ok) throw new Error(election.error.detail);
lap('reading');
const { rule: name, completion, threshold } = values;
const rules = {
  'equal-shares': { name, utility: 'cost', completion },
  phragmen: { name, skip: false },
  greedy: { name, utility: 'cost', skip: true, threshold },
};
const counted = tally(pabulibTallyInput(election.value, rules[name], '0'));
if (!counted.ok) throw new Error(counted.error.detail);
lap('counting');
const text = JSON.stringify(counted.value);
lap('writing');
const peakMegabytes = process.resourceUsage().maxRSS / 1_000;
const verdict = verifyCertificate(JSON.parse(text).certificate);
if (!verdict.valid) throw new Error(verdict.reason);
lap('verifying');
console.log(JSON.stringify({ ...seconds, peakMegabytes }));
