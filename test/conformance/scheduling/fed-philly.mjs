// FED-Philly: what the design promises, and what was published for it, against ours; every policy at both loads, with
// and without outages, and each lab in turn asking for twice what it needs.
import {
  federate,
  federationPolicies,
  phillyWindowMs,
  replayFederation,
} from '@beamtime/scheduling/simulate';

const loads = [0.85, 0.7];
const seed = 42;
const honest = { copies: 1, outages: false, inflate: null };

const titles = {
  mean_wait_s: 'mean wait, s',
  p50_wait_s: 'median wait, s',
  p90_wait_s: '90 % of waits, s',
  p99_wait_s: '99 % of waits, s',
  labs_worse_off: 'labs worse off than alone',
  worst_ratio: 'worst lab, over alone',
  lost_pct: 'lost, % of what is delivered',
  preemptions: 'preemptions',
};

/**
 * Figures of labs alone at load 0.85: the rules are known to the last detail, so every cell must be equal. The others
 * are by sketches of which only the idea is known, so ours is another program: compared, and nothing depends on it.
 */
const published = {
  silo: { mean_wait_s: 97_228, p50_wait_s: 52_683, p90_wait_s: 222_666, p99_wait_s: 870_677, worst_ratio: 1 },
};
const sketched = {
  fifo: {
    mean_wait_s: 46_145,
    p50_wait_s: 9_338,
    p90_wait_s: 180_890,
    p99_wait_s: 259_888,
    labs_worse_off: 4,
    worst_ratio: 2.08,
  },
  share: {
    mean_wait_s: 4_878,
    p50_wait_s: 71,
    p90_wait_s: 12_920,
    p99_wait_s: 41_381,
    labs_worse_off: 1,
    worst_ratio: 1.39,
  },
};
/** What the policy of production must keep at both loads, with outages as well. */
const kept = { labs_worse_off: 0, lost_pct: 0.5, mean_wait_s: 3_000, p99_wait_s: 30_000 };

function figuresOf(report, federation) {
  const gpus = federation.gpusOfLabs.reduce((sum, one) => sum + one, 0);
  const deliveredGpuSeconds = report.utilisation * gpus * report.makespan_s;
  return {
    ...report,
    worst_ratio: Math.max(...Object.values(report.labs).map(({ ratio }) => ratio)),
    lost_pct: (100 * report.lost_gpu_s) / deliveredGpuSeconds,
  };
}

function shown(value) {
  return Number.isInteger(value) || Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(3);
}

function* cellsOf(name, policy, load, outages, figures) {
  const at = load === 0.85 && !outages;
  const promises = policy === 'beamtime' ? kept : {};
  for (const [cell, title] of Object.entries(titles)) {
    const ours = figures[cell];
    const row = { what: `${name} ${title}`, ours: shown(ours) };
    const known = at ? published[policy]?.[cell] : undefined;
    const sketch = at ? sketched[policy]?.[cell] : undefined;
    const most = promises[cell];
    if (known !== undefined)
      yield {
        ...row,
        expected: shown(known),
        difference: shown(ours - known),
        isFine: shown(ours) === shown(known),
      };
    else if (most !== undefined) yield { ...row, expected: `≤ ${shown(most)}`, isFine: ours <= most };
    else if (sketch !== undefined)
      yield {
        ...row,
        expected: shown(sketch),
        difference: `${(100 * (ours / sketch - 1)).toFixed(0)} %`,
        says: 'a sketch',
      };
    else yield { ...row, says: 'measured' };
  }
}

/** @param trace jobs as `readPhillyTrace` gives them */
export function* fedPhillyCells(trace) {
  for (const load of loads) {
    for (const outages of [false, true]) {
      const federation = federate(trace, phillyWindowMs, { ...honest, load, outages });
      for (const policy of federationPolicies) {
        const figures = figuresOf(replayFederation(federation, policy, seed), federation);
        yield* cellsOf(
          `fed-philly ${load}${outages ? ' outages' : ''} ${policy}`,
          policy,
          load,
          outages,
          figures,
        );
      }
    }
  }
}

/**
 * Whether a lab that asks for twice the GPUs that it needs, for as long, has its results any sooner: the mean
 * completion of its jobs against that of the same jobs when it asks for what it needs. Its own cluster stays as it is.
 * And whether any other lab is then worse off than alone.
 */
export function* inflatingCells(trace) {
  for (const load of loads) {
    const replay = (inflate) =>
      replayFederation(federate(trace, phillyWindowMs, { ...honest, load, inflate }), 'beamtime', seed);
    const before = replay(null);
    for (const lab of Object.keys(before.labs)) {
      const honestSeconds = before.labs[lab].mean_jct_s;
      const { labs } = replay(lab);
      const seconds = labs[lab].mean_jct_s;
      const worseOff = Object.keys(labs).filter((other) => other !== lab && labs[other].ratio > 1).length;
      yield {
        what: `fed-philly ${load} ${lab} inflating: mean completion, s`,
        expected: `≥ ${shown(honestSeconds)}`,
        ours: shown(seconds),
        difference: `${(100 * (seconds / honestSeconds - 1)).toFixed(1)} %`,
        isFine: seconds >= honestSeconds,
      };
      yield {
        what: `fed-philly ${load} ${lab} inflating: others worse off`,
        expected: '≤ 0',
        ours: shown(worseOff),
        isFine: worseOff === 0,
      };
    }
  }
}
