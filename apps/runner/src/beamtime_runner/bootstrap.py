"""Confidence intervals by the bootstrap: the same seed gives the same interval on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

LEVEL = 0.95
_AT_ONCE = 2**22  # resampled values in memory at a time


def ratio_estimate(numerator: np.ndarray, denominator: np.ndarray, samples: int, seed: int) -> dict[str, Any]:
    """Σ numerator / Σ denominator with its percentile interval, over blocks drawn with replacement.

    `numerator` may be [blocks] or [blocks, columns]; columns share the draws, and the fields become lists.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    blocks = len(numerator)
    columns = numerator.reshape(blocks, -1)
    value = columns.sum(axis=0) / denominator.sum()
    drawn = np.empty((samples, columns.shape[1]))
    step = max(1, _AT_ONCE // (blocks * columns.shape[1]))
    for first in range(0, samples, step):
        chosen = generator.integers(0, blocks, (min(step, samples - first), blocks))
        sums = columns[chosen].sum(axis=1)
        drawn[first : first + len(chosen)] = sums / denominator[chosen].sum(axis=1)[:, None]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    if numerator.ndim == 1:
        return {"value": float(value[0]), "low": float(low[0]), "high": float(high[0]), "level": LEVEL}
    return {"value": value.tolist(), "low": low.tolist(), "high": high.tolist(), "level": LEVEL}


def mean_estimate(values: np.ndarray, samples: int, seed: int) -> dict[str, Any]:
    return ratio_estimate(values, np.ones(len(values)), samples, seed)
