"""Words met before and their ids, looked up by the thousand; a word of up to 31 bytes is its own key, as integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WORDS_MAX = 1 << 18  # remembered at a time; then it begins anew
WORD_BYTES_MAX = 192  # longer ones (text without spaces) hardly come again
_LANES = (2, 4)  # tables of words of up to 15 and 31 bytes: eight bytes to a lane, the last byte for the length
_SLOT_BITS = 20  # four slots for each word; enough also when one more block of new words comes on top
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64)


class _Table:
    """Numbers of words by their bytes; open addressing in arrays."""

    def __init__(self, lanes: int):
        self.longest = 8 * lanes - 1
        self._slots = np.full(1 << _SLOT_BITS, -1, dtype=np.int32)  # places in _keys
        self._keys = [np.zeros(1 << 10, dtype=np.uint64) for _ in range(lanes)]
        self._numbers = np.zeros(1 << 10, dtype=np.int32)
        self._count = 0

    def keys_of(self, data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        """The bytes of words as integers; `data` reaches as far as a word of the greatest length would."""
        at = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
        keys = []
        for lane in range(len(self._keys)):
            inside = np.clip(lengths - 8 * lane, 0, 8).astype(np.uint64)
            # A shift by 64 is not defined, so the empty lane is made empty apart.
            mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - np.maximum(inside, 1) * np.uint64(8))
            keys.append(np.where(inside > 0, at[starts + 8 * lane] & mask, np.uint64(0)))
        keys[-1] |= lengths.astype(np.uint64) << np.uint64(56)
        return keys

    def find(self, keys: list[np.ndarray]) -> np.ndarray:
        """The numbers of these words, -1 where one is not known."""
        slots = self._first_slots(keys)
        places = self._slots[slots]
        unsettled = np.arange(len(places))
        while len(unsettled):
            held = places[unsettled]
            differs = held >= 0
            same = np.ones(len(held), dtype=bool)
            for mine, theirs in zip(keys, self._keys, strict=True):
                same &= theirs[held] == mine[unsettled]
            unsettled = unsettled[differs & ~same]
            slots[unsettled] = (slots[unsettled] + 1) & (len(self._slots) - 1)
            places[unsettled] = self._slots[slots[unsettled]]
        return np.where(places >= 0, self._numbers[places], -1)

    def add(self, keys: list[np.ndarray], numbers: list[int]) -> None:
        """Words that are not known yet, each once."""
        first, self._count = self._count, self._count + len(numbers)
        if self._count > len(self._numbers):
            self._keys = [_grown(lane, self._count) for lane in self._keys]
            self._numbers = _grown(self._numbers, self._count)
        for mine, theirs in zip(keys, self._keys, strict=True):
            theirs[first : self._count] = mine
        self._numbers[first : self._count] = numbers
        for place, slot in enumerate(self._first_slots(keys).tolist(), first):
            while self._slots[slot] >= 0:
                slot = (slot + 1) & (len(self._slots) - 1)
            self._slots[slot] = place

    def _first_slots(self, keys: list[np.ndarray]) -> np.ndarray:
        mixed = keys[0] * _MIX[0]
        for lane, factor in zip(keys[1:], _MIX[1:], strict=False):
            mixed = (mixed ^ (mixed >> np.uint64(29)) ^ lane) * factor
        return ((mixed ^ (mixed >> np.uint64(32))) & np.uint64(len(self._slots) - 1)).astype(np.int64)


class Remembered:
    """The ids of words; `ask` encodes those that are new."""

    def __init__(self, ask: Callable[[list[str]], list[np.ndarray]], dtype: np.dtype):
        self._ask, self._dtype = ask, dtype
        self._forget()

    def _forget(self) -> None:
        self._tables = [_Table(lanes) for lanes in _LANES]
        self._long: dict[bytes, int] = {}
        self._ids = np.zeros(1 << 12, dtype=self._dtype)
        self._firsts, self._counts = np.zeros(1 << 10, dtype=np.int64), np.zeros(1 << 10, dtype=np.int64)
        self._words = self._used = 0

    def encode(self, data: bytes, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the words that begin at `starts`, each up to the next; where those of each begin, and the end."""
        if self._words > WORDS_MAX:
            self._forget()
        lengths = np.diff(starts, append=len(data))
        padded = np.frombuffer(data + bytes(8 * max(_LANES)), dtype=np.uint8)
        numbers = np.full(len(starts), -1, dtype=np.int64)
        shorter = 0
        for table in self._tables:
            chosen = np.flatnonzero((lengths > shorter) & (lengths <= table.longest))
            numbers[chosen] = table.find(table.keys_of(padded, starts[chosen], lengths[chosen]))
            shorter = table.longest
        kept = self._learn(data, padded, starts, lengths, numbers)
        counts = self._counts[numbers]
        places = np.concatenate([[0], np.cumsum(counts)])
        ids = self._ids[np.arange(places[-1]) + np.repeat(self._firsts[numbers] - places[:-1], counts)]
        self._words, self._used = kept
        return ids, places

    def _learn(
        self, data: bytes, padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray, numbers: np.ndarray
    ) -> tuple[int, int]:
        """Fills in the numbers that are -1. Returns how many words and ids to keep: the longest are soon forgotten."""
        unknown = np.flatnonzero(numbers < 0)
        new: dict[bytes, int] = {}  # where each first comes
        for place, start, length in zip(
            unknown.tolist(), starts[unknown].tolist(), lengths[unknown].tolist(), strict=True
        ):
            word = data[start : start + length]
            number = self._long.get(word)
            if number is None:
                new.setdefault(word, place)
            else:
                numbers[place] = number
        remembered = [word for word in new if len(word) <= WORD_BYTES_MAX]
        passing = [word for word in new if len(word) > WORD_BYTES_MAX]
        known = {word: number for number, word in enumerate(remembered + passing, self._words)}
        self._append(remembered)
        kept = self._words, self._used
        self._append(passing)
        shorter = 0
        for table in self._tables:
            mine = [word for word in remembered if shorter < len(word) <= table.longest]
            places = np.array([new[word] for word in mine], dtype=np.int64)
            table.add(table.keys_of(padded, starts[places], lengths[places]), [known[word] for word in mine])
            shorter = table.longest
        self._long.update((word, known[word]) for word in remembered if len(word) > shorter)
        for place in unknown[numbers[unknown] < 0].tolist():
            start = int(starts[place])
            numbers[place] = known[data[start : start + int(lengths[place])]]
        return kept

    def _append(self, words: list[bytes]) -> None:
        """Gives these words the next numbers."""
        asked = self._ask([word.decode() for word in words])
        if not asked:
            return
        counts = np.array([len(ids) for ids in asked])
        last, used = self._words + len(asked), self._used + int(counts.sum())
        if last > len(self._counts):
            self._firsts, self._counts = _grown(self._firsts, last), _grown(self._counts, last)
        if used > len(self._ids):
            self._ids = _grown(self._ids, used)
        self._ids[self._used : used] = np.concatenate(asked)
        self._counts[self._words : last] = counts
        self._firsts[self._words : last] = self._used + np.cumsum(counts) - counts
        self._words, self._used = last, used


def _grown(array: np.ndarray, needed: int) -> np.ndarray:
    larger = np.zeros(max(needed, 2 * len(array)), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
