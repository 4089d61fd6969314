"""Surprisal of tokens, words, characters and spans.

Words are runs without white space; the white space before a word belongs to it. A token that begins with white
space says that the word before has ended, so the probability of a word includes that the next token begins
a new one: Pimentel & Meister (2024), "How to Compute the Probability of a Word", for tokenizers that mark the
beginning of words: p(w | c) = Π p(token) · Σ_bow p(· | c, w) / Σ_bow p(· | c), where `bow` are the tokens that
begin with white space, and end of text. A first word without white space before it has no denominator.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from .refusals import Refused
from .revisions import Loaded
from .score import predictions
from .token_text import token_spans

_WORD = re.compile(r"\s*\S+")


def surprisal(loaded: Loaded, request: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The items of the answer, and how many tokens were read."""
    unit = request.get("unit", "word")
    items = [_Item(loaded, number, item, request) for number, item in enumerate(request["items"])]
    answers = []
    for item in items:
        units = {"token": item.tokens, "word": item.words, "character": item.characters, "span": item.spans}[unit]()
        size = len(item.text.encode())
        total = math.fsum(entry["surprisal"] for entry in units)
        answers.append({"units": units, "total": total, "bytes": size, "tokens": len(item.ids)})
    return answers, sum(len(item.ids) for item in items)


class _Item:
    def __init__(self, loaded: Loaded, number: int, item: dict[str, Any], request: dict[str, Any]):
        self.loaded, self.number, self.request, self.text = loaded, number, request, item["text"]
        self.asked_spans = item.get("spans")
        encoding = loaded.encode(self.text)
        self.ids: list[int] = encoding.ids
        self.places = token_spans(loaded.text, self.text, encoding)
        self.scale = 1 / math.log(2) if request.get("base", "2") == "2" else 1.0
        self._read()

    def _read(self) -> None:
        """One pass over the text: per token its surprisal, entropy and rank; per place the mass that begins a word."""
        ids = self.ids
        self.nats, self.entropy, self.rank, self.boundary = [], [], [], []
        begins_word = _begins_word(self.loaded).to(self.loaded.device)
        for first, rows in predictions(self.loaded, ids):
            self.boundary += rows[:, begins_word].logsumexp(dim=-1).tolist()
            targets = torch.tensor(ids[first : first + len(rows)], device=rows.device)
            rows = rows[: len(targets)]
            own = rows.gather(1, targets[:, None])
            self.nats += (-own[:, 0]).tolist()
            if self.request.get("entropy", False):
                self.entropy += torch.special.entr(rows.exp()).sum(dim=-1).tolist()
            if self.request.get("rank", False):
                self.rank += ((rows > own).sum(dim=-1) + 1).tolist()

    def _unit(self, start: int, end: int, members: list[int], nats: float) -> dict[str, Any]:
        unit = {"start": start, "end": end, "text": self.text[start:end], "surprisal": nats * self.scale}
        unit["tokenIds"] = [self.ids[i] for i in members]
        if members and self.entropy:
            unit["entropy"] = self.entropy[members[0]] * self.scale
        if members and self.rank:
            unit["rank"] = self.rank[members[0]]
        return unit

    def tokens(self) -> list[dict[str, Any]]:
        return [self._unit(start, end, [i], self.nats[i]) for i, (start, end) in enumerate(self.places)]

    def _owner(self, i: int) -> int:
        """The character that decides to which word a token belongs: its first that is no white space, or its end."""
        start, end = self.places[i]
        inside = self.text[start:end]
        return start + (len(inside) - len(inside.lstrip())) if inside.strip() else end

    def words(self) -> list[dict[str, Any]]:
        found = [match.span() for match in _WORD.finditer(self.text)]
        if not found:
            return self.tokens()
        members: list[list[int]] = [[] for _ in found]
        word = 0
        for i in range(len(self.ids)):
            while word + 1 < len(found) and self._owner(i) >= found[word][1]:
                word += 1
            members[word].append(i)
        units = []
        for (start, end), mine in zip(found, members, strict=True):
            nats = math.fsum(self.nats[i] for i in mine) + self._correction(start, mine)
            bare = start + len(self.text[start:end]) - len(self.text[start:end].lstrip())
            units.append(self._unit(bare, end, mine, nats))
        return units

    def _correction(self, start: int, members: list[int]) -> float:
        """What the beginning-of-word correction adds, in nats."""
        if not members or not self.request.get("wordCorrection", True) or self.loaded.masked:
            return 0.0
        after = self.boundary[members[-1] + 1]
        before = self.boundary[members[0]] if self.text[start].isspace() else 0.0
        return before - after

    def characters(self) -> list[dict[str, Any]]:
        """A token's surprisal spread evenly over its characters: exact where every token is one character."""
        shares = [0.0] * len(self.text)
        owners: list[list[int]] = [[] for _ in self.text]
        for i, (start, end) in enumerate(self.places):
            covered = range(start, max(end, start + 1))
            for at in covered:
                if at < len(shares):
                    shares[at] += self.nats[i] / len(covered)
                    owners[at].append(i)
        return [self._unit(at, at + 1, owners[at], nats) for at, nats in enumerate(shares)]

    def spans(self) -> list[dict[str, Any]]:
        field = f"items.{self.number}.spans"
        if self.asked_spans is None:
            raise Refused("bad-request", f"{field}: is missing, unit span needs it", field)
        units = []
        for start, end in self.asked_spans:
            if not 0 <= start < end <= len(self.text):
                detail = f"{field}: {start}–{end} is no part of a text of {len(self.text)} characters"
                raise Refused("bad-request", detail, field)
            mine = [i for i in range(len(self.ids)) if start <= min(self._owner(i), len(self.text) - 1) < end]
            if any(self.places[i][1] > end for i in mine):
                raise Refused("bad-request", f"{field}: {start}–{end} ends inside a token", field)
            units.append(self._unit(start, end, mine, math.fsum(self.nats[i] for i in mine)))
        return units


def _begins_word(loaded: Loaded) -> torch.Tensor:
    """For each token whether it says that a new word, or nothing more, comes."""
    flags = [
        number == loaded.end_of_text or piece.decode(errors="replace")[:1].isspace()
        for number, piece in enumerate(loaded.text.table)
    ]
    flags += [False] * (loaded.config.vocab_size - len(flags))
    return torch.tensor(flags[: loaded.config.vocab_size])
