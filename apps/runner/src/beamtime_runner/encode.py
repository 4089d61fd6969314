"""Text to token ids as bytes, exactly as the tokenizer does it and several times faster where words come again.

A byte-level tokenizer first cuts text by GPT-2's pattern and then works on each part alone. Every change from a
character that is no white space to one that is ends such a part, so text may be cut there beforehand and each word
(with the white space before it) looked up among those met already. `tokenizers` itself encodes the words that are
new. Any other tokenizer is asked for whole pieces. Which way is taken changes no id: a property test compares them.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

WORDS_MAX = 1 << 18  # remembered at a time: about 60 MB; then it begins anew
WORD_CHARS_MAX = 64  # longer ones (text without spaces) hardly come again

_SPACE = " \t\n\r"  # white space by every Unicode version and regex engine
# What some engine may take for white space and another may not: before a space it makes the cut uncertain.
_UNSURE = "\x0b\x0c\x1c-\x1f\x85\xa0\u1680\u180e\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_WORD = re.compile(f"[{_SPACE}]*[^{_SPACE}]+|[{_SPACE}]+")
_NOT_TO_CUT = re.compile(f"[{_UNSURE}][{_SPACE}]")
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


class Encoder:
    """Encodes pieces of text to the bytes of their ids, little-endian integers of this dtype."""

    def __init__(self, tokenizer: Any, dtype: str):
        self._tokenizer = tokenizer
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._words: dict[str, bytes] = {}
        self._long: list[str] = []
        self.by_words = works_on_words(tokenizer)

    def encode(self, texts: list[str]) -> list[bytes]:
        if not self.by_words:
            return self._ask(texts)
        cut = [None if _NOT_TO_CUT.search(text) else _WORD.findall(text) for text in texts]
        self._learn({word for words in cut if words for word in words})
        known = self._words.__getitem__
        whole = iter(self._ask([text for text, words in zip(texts, cut, strict=True) if words is None]))
        return [next(whole) if words is None else b"".join(map(known, words)) for words in cut]

    def id_of(self, token: str) -> bytes:
        return np.asarray(self._tokenizer.token_to_id(token), dtype=self._dtype).tobytes()

    def _learn(self, words: set[str]) -> None:
        """Makes every one of these words known; the long ones only until the next call."""
        if len(self._words) > WORDS_MAX:
            self._words.clear()
        for word in self._long:
            self._words.pop(word, None)
        new = list(words - self._words.keys())
        self._long = [word for word in new if len(word) > WORD_CHARS_MAX]
        self._words.update(zip(new, self._ask(new), strict=True))

    def _ask(self, texts: list[str]) -> list[bytes]:
        if not texts:
            return []
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=self._dtype).tobytes() for encoding in encodings]


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
