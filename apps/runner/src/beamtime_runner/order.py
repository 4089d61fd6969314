"""Which window of which corpus comes when: a pure function of the slot number, so there is nothing to restore.

Slot `i` of a run is row `i % batch` of step `i // batch`. Corpora take turns by a table of 1024 slots that holds
each corpus by its share; within a corpus, each epoch walks its windows in the order of a keyed permutation
(a Feistel network on the smallest even number of bits, cycle-walking to the number of windows). The keys come
from the seed of the data order and the text itself, and nothing else: not from the size of the model, its
initialisation, or the name of a corpus.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

ALGORITHM = "feistel-6-splitmix64/2"
SLOTS = 1024
_ROUNDS = 6


@lru_cache(maxsize=4096)
def _keys(label: str) -> tuple[int, ...]:
    digest = hashlib.sha512(f"beamtime-order/1:{label}".encode()).digest()
    return tuple(int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(_ROUNDS))


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64; unsigned arithmetic wraps, as it should."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def permute(index: np.ndarray, size: int, label: str) -> np.ndarray:
    """Where the permutation of 0 … size-1 keyed by `label` sends each index."""
    half_bits = max(1, (max(1, size - 1).bit_length() + 1) // 2)
    half, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    keys = [np.uint64(key) for key in _keys(label)]

    def once(x: np.ndarray) -> np.ndarray:
        left, right = x >> half, x & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return (left << half) | right

    out = once(index.astype(np.uint64))
    while (outside := out >= size).any():
        out[outside] = once(out[outside])
    return out.astype(np.int64)


def quotas(weights: list[float]) -> list[int]:
    """Slots of the table for each corpus, by largest remainder; a corpus with any weight has at least one."""
    total = sum(weights)
    exact = [weight / total * SLOTS for weight in weights]
    slots = [max(1, int(share)) if weight > 0 else 0 for share, weight in zip(exact, weights, strict=True)]
    by_remainder = sorted(range(len(slots)), key=lambda i: (int(exact[i]) - exact[i], i))
    while (missing := SLOTS - sum(slots)) != 0:
        if missing > 0:
            for i in [i for i in by_remainder if weights[i] > 0][:missing]:
                slots[i] += 1
        else:
            slots[slots.index(max(slots))] -= 1
    return slots


class DataOrder:
    """Slots to (corpus, window), for corpora with these numbers of windows and shares of the table.

    `texts` are the sha256 of the corpora, so that the order does not depend on what somebody called them.
    """

    def __init__(self, seed: int, texts: list[str], windows: list[int], slots: list[int]):
        self.seed, self.texts, self.windows, self.slots = seed, texts, windows, slots
        position = permute(np.arange(SLOTS), SLOTS, f"{seed}:table")
        by_position = np.repeat(np.arange(len(texts)), slots)
        self._corpus_of_slot = by_position[position]
        self._rank_of_slot = np.zeros(SLOTS, dtype=np.int64)
        for corpus in range(len(texts)):
            mine = self._corpus_of_slot == corpus
            self._rank_of_slot[mine] = np.arange(int(mine.sum()))

    def locate(self, first_slot: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Corpus number and window of each of these slots."""
        slot = np.arange(first_slot, first_slot + count)
        corpus = self._corpus_of_slot[slot % SLOTS]
        window = np.zeros(count, dtype=np.int64)
        for number in np.unique(corpus):
            mine = np.flatnonzero(corpus == number)
            draw = slot[mine] // SLOTS * self.slots[number] + self._rank_of_slot[slot[mine] % SLOTS]
            size = self.windows[number]
            epoch = draw // size
            for this in np.unique(epoch):
                inside = epoch == this
                label = f"{self.seed}:{self.texts[number]}:{this}"
                window[mine[inside]] = permute(draw[inside] % size, size, label)
        return corpus, window

    def drawn(self, slots: int) -> list[int]:
        """How many windows of each corpus the first slots have drawn."""
        rest = np.bincount(self._corpus_of_slot[: slots % SLOTS], minlength=len(self.texts))
        return [slots // SLOTS * quota + int(more) for quota, more in zip(self.slots, rest, strict=True)]
