"""Text to token ids as bytes, exactly as the tokenizer does it and many times faster where words come again.

A byte-level tokenizer first cuts text by GPT-2's pattern and then works on each part alone. Every change from a
character that is no white space to one that is ends such a part, so text may be cut there beforehand and each word
(with the white space before it) looked up among those met already. `tokenizers` itself encodes the words that are
new. Any other tokenizer is asked for whole pieces. Which way is taken changes no id: a property test compares them.

All words of a block are cut, looked up and replaced by array operations; Python sees only those that are new or long.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import numpy as np

from .words import Remembered

# What some engine may take for white space and another may not: before a space it makes the cut uncertain.
_UNSURE = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_UNSURE += "\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
_LAST_BYTES = np.zeros(256, dtype=bool)
_LAST_BYTES[[character.encode()[-1] for character in _UNSURE]] = True
_UNSURE_CODES = np.array(sorted(int.from_bytes(character.encode(), "big") for character in _UNSURE))
_BYTES_MAX = 3  # of such a character
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


class Encoder:
    """Encodes pieces of text to the bytes of their ids, little-endian integers of this dtype."""

    def __init__(self, tokenizer: Any, dtype: str):
        self._tokenizer = tokenizer
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._words = Remembered(self._ask, self._dtype)
        self.by_words = works_on_words(tokenizer)

    def encode(self, texts: list[str]) -> list[bytes]:
        if not self.by_words:
            return [ids.tobytes() for ids in self._ask(texts)]
        pieces = [text.encode() for text in texts]
        ends = np.cumsum([len(piece) for piece in pieces])
        data = b"".join(pieces)
        starts = _cut(np.frombuffer(data, dtype=np.uint8), ends) if data else ends[:0]
        ids, places = self._words.encode(data, starts)
        bounds = places[np.searchsorted(starts, np.concatenate([[0], ends]))].tolist()
        return [ids[first:last].tobytes() for first, last in pairwise(bounds)]

    def id_of(self, token: str) -> bytes:
        return np.asarray(self._tokenizer.token_to_id(token), dtype=self._dtype).tobytes()

    def _ask(self, texts: list[str]) -> list[np.ndarray]:
        if not texts:
            return []
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=self._dtype) for encoding in encodings]


def _cut(block: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Where words begin in the pieces that end at `ends`; a piece that cannot be cut for certain is one word."""
    space = (block == 32) | (block == 10) | (block == 9) | (block == 13)
    begins = space.copy()
    begins[1:] &= ~space[:-1]
    begins[0] = False
    cuts = np.flatnonzero(begins)
    unsure = cuts[_LAST_BYTES[block[cuts - 1]]]
    firsts = np.concatenate([[0], ends[:-1]])
    if len(unsure):
        # UTF-8 of one to three bytes before the cut. Across the border of two pieces it would be no character.
        code = np.zeros(len(unsure), dtype=np.int64)
        is_one = np.zeros(len(unsure), dtype=bool)
        for back in range(1, _BYTES_MAX + 1):
            code |= np.where(unsure >= back, block[unsure - back].astype(np.int64), 0) << (8 * (back - 1))
            is_one |= np.isin(code, _UNSURE_CODES)
        for piece in np.unique(np.searchsorted(ends, unsure[is_one] - 1, side="right")).tolist():
            begins[firsts[piece] : ends[piece]] = False
    begins[firsts[firsts < len(block)]] = True
    return np.flatnonzero(begins)


def works_on_words(tokenizer: Any) -> bool:
    """Whether the tokenizer cuts text by GPT-2's pattern and does nothing else that looks across words."""
    about = json.loads(tokenizer.to_str())
    cutter = about["pre_tokenizer"] or {}
    plain_tokens = all(
        not (token["lstrip"] or token["rstrip"] or token["single_word"] or token["normalized"])
        and not re.search(r"\s", token["content"])
        for token in about["added_tokens"]
    )
    return (
        all(cutter.get(name) == value for name, value in _BYTE_LEVEL.items())
        and about["normalizer"] is None
        and about["truncation"] is None
        and about["padding"] is None
        and about["model"].get("type") in ("BPE", "Unigram")
        and not about["model"].get("dropout")
        and plain_tokens
    )
