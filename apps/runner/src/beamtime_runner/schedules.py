"""When to write a checkpoint, and the learning rate of each step."""

from __future__ import annotations

import math
from typing import Any

PYTHIA_DENSE_UNTIL = 512
PYTHIA_EVERY = 1000


def checkpoint_steps(schedule: str | list[int], steps: int) -> list[int]:
    """Steps after which a checkpoint is written; 0 is the initial model, and the last step is always there."""
    if isinstance(schedule, list):
        chosen = set(schedule)
    else:
        chosen = {0, *(1 << power for power in range(steps.bit_length()))}
        if schedule == "pythia":
            chosen = {step for step in chosen if step <= PYTHIA_DENSE_UNTIL}
            chosen |= set(range(PYTHIA_EVERY, steps + 1, PYTHIA_EVERY))
    return sorted({step for step in chosen if step <= steps} | {steps})


def resolve_training(training: dict[str, Any], family: str) -> dict[str, Any]:
    """Every option of training with its value."""
    defaults = {
        "microBatchSequences": training["batchSequences"],
        "schedule": "cosine",
        "warmupSteps": max(1, training["steps"] // 100),
        "minimumLearningRateRatio": 0.1,
        "weightDecay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "epsilon": 1e-8,
        "gradientClip": 1.0,
        "maskProbability": 0.15,
        "dtype": "float32",
    }
    return {**defaults, **training}


def learning_rate(step: int, training: dict[str, Any]) -> float:
    """The rate of step number `step`, counted from 0, by the resolved options."""
    peak, warmup, steps = training["learningRate"], training["warmupSteps"], training["steps"]
    if step < warmup:
        return peak * (step + 1) / warmup
    if training["schedule"] == "constant" or steps <= warmup:
        return peak
    done = (step - warmup) / (steps - warmup)
    remaining = 0.5 * (1 + math.cos(math.pi * done)) if training["schedule"] == "cosine" else 1 - done
    least = training["minimumLearningRateRatio"]
    return peak * (least + (1 - least) * remaining)
