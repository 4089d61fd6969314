"""The batch of any step, from the manifest and the shards alone; and the manifest that says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from .corpus import Corpus
from .order import ALGORITHM, SLOTS, DataOrder, quotas
from .refusals import Refused
from .shards import damage_of

MANIFEST_SCHEMA = "beamtime.data-manifest/1"
FIRST_BATCHES = 4
_STEPS_AHEAD = 64  # slots are located for this many steps at once: one step alone costs more than its share


class Batches:
    """Rows of tokens by step; each row is a window and the token after it."""

    def __init__(self, corpora: list[Corpus], order: DataOrder, context_tokens: int, batch_sequences: int):
        self.corpora, self.order = corpora, order
        self.context_tokens, self.batch_sequences = context_tokens, batch_sequences
        self._first_step = -1
        self._located: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))

    def rows(self, step: int) -> np.ndarray:
        """uint32 array of shape [batch_sequences, context_tokens + 1]: what step number `step` (from 0) learns from."""
        first = step - step % _STEPS_AHEAD
        if first != self._first_step:
            self._located = self.order.locate(first * self.batch_sequences, _STEPS_AHEAD * self.batch_sequences)
            self._first_step = first
        at = (step - first) * self.batch_sequences
        rows = np.empty((self.batch_sequences, self.context_tokens + 1), dtype="<u4")
        for row in range(self.batch_sequences):
            corpus, window = self._located[0][at + row], self._located[1][at + row]
            rows[row] = self.corpora[corpus].read_window(int(window), self.context_tokens)
        return rows

    def bytes_seen(self, steps: int) -> int:
        """Bytes of text behind the tokens of the first steps, by bytes per token of each corpus."""
        drawn = self.order.drawn(steps * self.batch_sequences)
        per_window = [corpus.text_bytes / corpus.tokens * self.context_tokens for corpus in self.corpora]
        return round(sum(count * size for count, size in zip(drawn, per_window, strict=True)))


def make_batches(
    corpora: list[Corpus], mix: dict[str, float] | None, seed: int, context_tokens: int, batch: int
) -> Batches:
    """Batches over the corpora that have a share; `mix` None shares by number of windows."""
    used, weights = [], []
    for corpus in corpora:
        windows = corpus.windows(context_tokens)
        weight = float(windows) if mix is None else mix.get(corpus.id, 0.0)
        if mix is None or weight > 0:
            if windows == 0:
                detail = (
                    f"data.corpora: {corpus.id} has {corpus.tokens} tokens, less than one window of {context_tokens}"
                )
                raise Refused("corpus-too-small", detail, "data.corpora")
            used.append(corpus)
            weights.append(weight)
    order = DataOrder(seed, [c.sha256 for c in used], [c.windows(context_tokens) for c in used], quotas(weights))
    return Batches(used, order, context_tokens, batch)


def batch_sha256(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()


def manifest_of(batches: Batches, tokenizer_sha256: str) -> dict[str, Any]:
    """All that decides the data of every step; equal for all sizes and initialisations of a suite."""
    corpora = [
        {
            "id": corpus.id,
            "language": corpus.language,
            "script": corpus.script,
            "sha256": corpus.sha256,
            "textBytes": corpus.text_bytes,
            "tokens": corpus.tokens,
            "windows": corpus.windows(batches.context_tokens),
            "slots": slots,
            "dtype": corpus.dtype,
            "shards": [{key: shard[key] for key in ("path", "tokens", "sha256")} for shard in corpus.shards],
        }
        for corpus, slots in zip(batches.corpora, batches.order.slots, strict=True)
    ]
    return {
        "schema": MANIFEST_SCHEMA,
        "order": {"algorithm": ALGORITHM, "seed": batches.order.seed, "slotsPerTable": SLOTS},
        "tokenizerSha256": tokenizer_sha256,
        "contextTokens": batches.context_tokens,
        "batchSequences": batches.batch_sequences,
        "corpora": corpora,
        "firstBatches": [batch_sha256(batches.rows(step)) for step in range(FIRST_BATCHES)],
    }


def batches_of_manifest(manifest: dict[str, Any], shards_folder: Path, verify: bool = True) -> Batches:
    """The same batches again from the manifest and the shards, `shards_folder/<corpus>/<path>`."""
    corpora = []
    for entry in manifest["corpora"]:
        folder = shards_folder / entry["id"]
        for shard in entry["shards"] if verify else []:
            damage = damage_of(folder / shard["path"], shard)
            if damage is not None:
                code = "shard-missing" if damage == "is missing" else "shard-changed"
                raise Refused(code, f"the shard {entry['id']}/{shard['path']} {damage}")
        corpora.append(
            Corpus(
                entry["id"],
                entry["language"],
                entry["script"],
                entry["sha256"],
                entry["textBytes"],
                0,
                entry["dtype"],
                entry["shards"],
                folder,
            )
        )
    context = manifest["contextTokens"]
    windows = [corpus.windows(context) for corpus in corpora]
    slots = [entry["slots"] for entry in manifest["corpora"]]
    order = DataOrder(manifest["order"]["seed"], [corpus.sha256 for corpus in corpora], windows, slots)
    return Batches(corpora, order, context, manifest["batchSequences"])


def manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
