"""Evaluates every revision of a model by the same tasks, each number with a bootstrap interval and a receipt."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import environment
from .bootstrap import mean_estimate, ratio_estimate
from .durable import sha256_file, write_file
from .events import Events
from .interruption import Interruption
from .job import input_file
from .refusals import Refused
from .revisions import Loaded, Revisions
from .token_text import token_spans

TEXT_BYTES = 1024 * 1024
TEXT_BYTES_MASKED = 16 * 1024  # a masked model needs a forward pass for each token
BLOCK_TOKENS = 64  # of a text: what the bootstrap draws, so that neighbours which depend on each other stay together
HEAD_SEQUENCES = 16
HEAD_HALF_TOKENS = 32
BOOTSTRAP_SAMPLES = 1000
PAIRS_MAX = 100_000
RESULTS = "results.json"


def evaluate(job: dict[str, Any], workdir: Path, events: Events, interruption: Interruption) -> None:
    """Runs a job of kind evaluate; inputs are read and refused before any model is loaded."""
    tasks = [_prepare(task, number, workdir) for number, task in enumerate(job["tasks"])]
    runtime = environment.resolve_runtime(job.get("runtime", {}))
    device = environment.start_torch(runtime)
    started = time.monotonic()
    revisions = Revisions(job["revisions"], workdir, device, "float32", loaded_max=1)
    samples, seed = job.get("bootstrapSamples", BOOTSTRAP_SAMPLES), job.get("seed", 0)
    everything = []
    count = len(job["revisions"]) * len(tasks)
    for number, entry in enumerate(job["revisions"]):
        loaded = revisions.get(entry["revision"])
        results: list[dict[str, Any]] = []
        for task_number, task in enumerate(tasks):
            interruption.stop_if_asked(events)
            results += _TASKS[task["task"]](loaded, task, samples, seed)
            if events.progress_due():
                events.progress("evaluate", (number * len(tasks) + task_number + 1) / count)
        row = {"revision": entry["revision"], "results": results, "receipt": loaded.receipt()}
        events.emit("evaluation", **row)
        everything.append(row)
    data = json.dumps(everything, indent=1, ensure_ascii=False, allow_nan=False).encode()
    write_file(workdir / RESULTS, data)
    sha256 = sha256_file(workdir / RESULTS)
    events.emit("artifact", name="results", path=RESULTS, bytes=len(data), sha256=sha256, mediaType="application/json")
    wall = time.monotonic() - started
    events.emit("done", wallSeconds=wall, deviceSeconds=wall, peakMemoryBytes=environment.peak_memory_bytes())


def _prepare(task: dict[str, Any], number: int, workdir: Path) -> dict[str, Any]:
    """The task with its inputs in it."""
    if task["task"] == "bitsPerByte":
        return task | {"texts": [_read_text(entry, task, number, workdir) for entry in task["texts"]]}
    if task["task"] == "minimalPairs":
        return task | _read_pairs(task, number, workdir)
    return task


def _read_text(entry: dict[str, Any], task: dict[str, Any], number: int, workdir: Path) -> dict[str, Any]:
    field = f"tasks.{number}.texts"
    file = input_file(workdir, entry["path"], field, entry.get("sha256"))
    limit = task.get("bytesMax", TEXT_BYTES)
    with file.open("rb") as source:
        data = source.read(limit)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data" or len(data) < limit:
            detail = f"{field}: {entry['id']} is not UTF-8, at byte {error.start}"
            raise Refused("corpus-not-text", detail, field) from error
        text = data[: error.start].decode()
    if not text.strip() or "\0" in text:
        what = "holds a zero byte, as binary files do" if "\0" in text else "holds no text"
        raise Refused(
            "corpus-empty" if not text.strip() else "corpus-not-text", f"{field}: {entry['id']} {what}", field
        )
    return {**entry, "text": text, "sha256": sha256_file(file)}


def _read_pairs(task: dict[str, Any], number: int, workdir: Path) -> dict[str, Any]:
    field = f"tasks.{number}.path"
    file = input_file(workdir, task["path"], field, task.get("sha256"))
    pairs, line_number = [], 0
    with file.open(encoding="utf-8", errors="strict") as lines:
        try:
            for line_number, line in enumerate(lines, 1):
                if line.strip():
                    pair = json.loads(line)
                    pairs.append(tuple(pair[name] for name in ("sentence_good", "sentence_bad")))
                    if not all(isinstance(sentence, str) and sentence for sentence in pairs[-1]):
                        raise ValueError("no sentence")
        except (ValueError, KeyError, TypeError) as error:
            wrong = line_number + 1 if isinstance(error, UnicodeDecodeError) else line_number
            detail = f"{field}: line {wrong} is not JSON with the texts sentence_good and sentence_bad"
            raise Refused("bad-pairs", detail, field) from error
    if not 0 < len(pairs) <= PAIRS_MAX:
        raise Refused("bad-pairs", f"{field}: {len(pairs)} pairs, and 1 to {PAIRS_MAX} are allowed", field)
    return {"pairs": pairs, "sha256": sha256_file(file)}


# ---------------------------------------------------------------- tasks


def _bits_per_byte(loaded: Loaded, task: dict[str, Any], samples: int, seed: int) -> list[dict[str, Any]]:
    from .score import token_logprobs

    rows = []
    for entry in task["texts"]:
        text: str = entry["text"]
        if loaded.masked and "bytesMax" not in task:
            text = text.encode()[:TEXT_BYTES_MASKED].decode(errors="ignore")
        encoding = loaded.encode(text)
        bits = -token_logprobs(loaded, encoding.ids).double().numpy() / math.log(2)
        sizes = _bytes_of_tokens(loaded, text, encoding)
        starts = np.arange(0, len(bits), BLOCK_TOKENS)
        blocks, bytes_of_blocks = np.add.reduceat(bits, starts), np.add.reduceat(sizes, starts)
        rows.append(
            {
                "task": "bitsPerByte",
                "id": entry["id"],
                "language": entry["language"],
                "script": entry["script"],
                "bitsPerByte": ratio_estimate(blocks, bytes_of_blocks, samples, seed),
                "bytes": len(text.encode()),
                "tokens": len(encoding.ids),
                "sha256": entry["sha256"],
                "objective": "pseudo" if loaded.masked else "causal",
            }
        )
    return rows


def _bytes_of_tokens(loaded: Loaded, text: str, encoding: Any) -> np.ndarray:
    """Bytes of text behind each token; they add up to the text."""
    size_of = np.array([0, *(len(character.encode()) for character in text)]).cumsum()
    ends = np.maximum.accumulate([size_of[end] for _, end in token_spans(loaded.text, text, encoding)])
    ends[-1] = size_of[-1]
    return np.diff(ends, prepend=0).astype(np.float64)


def _head_scores(loaded: Loaded, task: dict[str, Any], samples: int, seed: int) -> list[dict[str, Any]]:
    """Attention on random tokens that come twice: to the token before, to the same token's first time
    (duplicate), and to the token after that (induction); means over positions of the second half."""
    from .sites import plan_capture, run_capture

    count = task.get("sequences", HEAD_SEQUENCES)
    half = min(task.get("halfTokens", HEAD_HALF_TOKENS), (loaded.context_tokens - 1) // 2)
    scores = []
    if loaded.config.model_type == "mamba":
        return [{"task": "headScores", "sequences": 0, "heads": []}]
    if half < 2:
        detail = f"tasks: head scores need a context of 5 tokens, {loaded.revision} has {loaded.context_tokens}"
        raise Refused("context-too-small", detail, "tasks")
    for random_tokens in head_sequences(loaded, count, half, seed):
        request = {"sites": ["blocks.*.attn.hook_pattern"]}
        plan = plan_capture(loaded, request, {"tokenIds": [loaded.start, *random_tokens, *random_tokens]})
        patterns = np.stack([pattern.double().numpy() for pattern in run_capture(plan).values()])
        scores.append(head_scores_of(patterns, half))
    table = np.stack(scores)  # [sequences, layers, heads, kinds]
    layers, heads = table.shape[1], table.shape[2]
    estimates = mean_estimate(table.reshape(count, -1), samples, seed)

    def one(layer: int, head: int, kind: int) -> dict[str, Any]:
        at = (layer * heads + head) * 3 + kind
        return {name: estimates[name][at] for name in ("value", "low", "high")} | {"level": estimates["level"]}

    rows = [
        {
            "layer": layer,
            "head": head,
            "previousToken": one(layer, head, 0),
            "duplicateToken": one(layer, head, 1),
            "induction": one(layer, head, 2),
        }
        for layer in range(layers)
        for head in range(heads)
    ]
    return [{"task": "headScores", "sequences": count, "heads": rows}]


def head_sequences(loaded: Loaded, count: int, half: int, seed: int) -> list[list[int]]:
    """Random tokens that stand for text, `half` in each of `count` sequences."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    special = sorted(loaded.text.special | {loaded.start})
    ordinary = np.setdiff1d(np.arange(len(loaded.text.table)), special)
    return [generator.choice(ordinary, half).tolist() for _ in range(count)]


def head_scores_of(patterns: np.ndarray, half: int) -> np.ndarray:
    """[layers, heads, 3] from patterns [layers, heads, query, key] of a start token and two equal halves."""
    queries = np.arange(half + 1, 2 * half + 1)  # the second half

    def mean_at(keys: np.ndarray) -> np.ndarray:
        return patterns[:, :, queries, keys].mean(axis=-1)

    return np.stack([mean_at(queries - 1), mean_at(queries - half), mean_at(queries - half + 1)], axis=-1)


def _minimal_pairs(loaded: Loaded, task: dict[str, Any], samples: int, seed: int) -> list[dict[str, Any]]:
    from .score import token_logprobs

    def logprob(sentence: str) -> float:
        return float(token_logprobs(loaded, loaded.encode(sentence).ids).double().sum())

    right = np.array([float(logprob(good) > logprob(bad)) for good, bad in task["pairs"]])
    return [
        {
            "task": "minimalPairs",
            "id": task["id"],
            "language": task["language"],
            "script": task["script"],
            "accuracy": mean_estimate(right, samples, seed),
            "pairs": len(right),
            "sha256": task["sha256"],
        }
    ]


_TASKS = {"bitsPerByte": _bits_per_byte, "headScores": _head_scores, "minimalPairs": _minimal_pairs}
