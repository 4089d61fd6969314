"""Bits per byte, head scores and minimal pairs, with intervals, over all revisions."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from beamtime_runner.bootstrap import mean_estimate, ratio_estimate
from beamtime_runner.evaluate import head_scores_of, head_sequences
from beamtime_runner.revisions import Loaded
from conftest import Workdir, made_up_text, of_kind, train_job

HELD_OUT = made_up_text(30, seed=99)


def evaluate_job(revisions: list[str]) -> dict[str, Any]:
    return {
        "schema": "beamtime.runner-job/1",
        "kind": "evaluate",
        "jobId": "job_evaluate",
        "attempt": 1,
        "revisions": [{"revision": name, "path": f"checkpoints/{name}"} for name in revisions],
        "tasks": [
            {
                "task": "bitsPerByte",
                "texts": [{"id": "held-out", "path": "inputs/held-out.txt", "language": "mul", "script": "Latn"}],
            },
            {"task": "headScores", "sequences": 4, "halfTokens": 12},
            {"task": "minimalPairs", "id": "order", "path": "inputs/pairs.jsonl", "language": "mul", "script": "Latn"},
        ],
    }


def prepare(workdir: Workdir, family: str) -> None:
    (workdir.path / "inputs" / "held-out.txt").write_text(HELD_OUT, encoding="utf-8")
    sentences = [line[:14] for line in made_up_text(20, seed=5).splitlines()]  # within the context, in bytes even
    pairs = [{"sentence_good": line, "sentence_bad": line[::-1]} for line in sentences]
    (workdir.path / "inputs" / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    workdir.run(train_job(family, training={"steps": 64, "batchSequences": 8, "learningRate": 5e-3}))


@pytest.mark.parametrize("family", ["gpt-neox", "bert", "mamba"])
def test_all_tasks_over_all_revisions(family: str, workdir: Workdir) -> None:
    prepare(workdir, family)
    events = workdir.run(evaluate_job(["step0", "step64"]))
    rows = of_kind(events, "evaluation")
    assert [row["revision"] for row in rows] == ["step0", "step64"]
    before, after = ({result["task"]: result for result in row["results"]} for row in rows)
    assert after["bitsPerByte"]["bitsPerByte"]["high"] < before["bitsPerByte"]["bitsPerByte"]["low"]
    assert after["minimalPairs"]["accuracy"]["value"] > 0.8
    assert len(after["headScores"]["heads"]) == (0 if family == "mamba" else 8)
    results = json.loads((workdir.path / "results.json").read_text())
    assert [row["revision"] for row in results] == ["step0", "step64"]
    assert rows[0]["receipt"]["weightsSha256"] != rows[1]["receipt"]["weightsSha256"]
    if family == "gpt-neox":
        assert_bits_per_byte_by_hand(workdir, after["bitsPerByte"])
    assert_pairs_by_hand(workdir, after["minimalPairs"])
    assert_heads_by_hand(workdir, family, after["headScores"])


def assert_bits_per_byte_by_hand(workdir: Workdir, result: dict[str, Any]) -> None:
    """With plain transformers on the first window: the whole text's figure must be near it, and tokens agree."""
    folder = workdir.path / "checkpoints" / "step64"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(HELD_OUT)["input_ids"]
    assert result["tokens"] == len(ids)
    assert result["bytes"] == len(HELD_OUT.encode())
    nats = 0.0
    sequence = [tokenizer.eos_token_id, *ids]
    for position, token in enumerate(ids):  # each token from the longest context that the windows gave it
        done = position if position < 32 else 32 + (position - 32) // 16 * 16
        begin = 0 if position < 32 else min(done - 16, len(sequence) - 32)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([sequence[begin : position + 1]])).logits[0, -1]
        nats -= torch.log_softmax(logits, dim=-1)[token].item()
    assert result["bitsPerByte"]["value"] == pytest.approx(nats / math.log(2) / len(HELD_OUT.encode()), rel=1e-4)


def plain(workdir: Workdir) -> tuple[Any, Any]:
    """Model and tokenizer as plain transformers loads them; attention in the way that can be looked at."""
    folder = workdir.path / "checkpoints" / "step64"
    masked = json.loads((folder / "config.json").read_text())["model_type"] == "bert"
    auto: Any = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    attention = {} if "mamba" in (folder / "config.json").read_text() else {"attn_implementation": "eager"}
    return auto.from_pretrained(folder, **attention).eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def logprob_by_hand(model: Any, tokenizer: Any, sentence: str) -> float:
    """Of the sentence after the start; for a masked model the pseudo-log-likelihood of Salazar et al. (2020)."""
    ids = tokenizer(sentence, add_special_tokens=False)["input_ids"]
    total, start, context = 0.0, tokenizer.bos_token_id, 32
    if model.config.model_type == "bert":
        for position, token in enumerate(ids):
            shown = [start, *ids]
            shown[position + 1] = tokenizer.mask_token_id
            logits = model(input_ids=torch.tensor([shown])).logits[0, position + 1]
            total += torch.log_softmax(logits, dim=-1)[token].item()
        return total
    assert len(ids) < context
    for position, token in enumerate(ids):
        logits = model(input_ids=torch.tensor([[start, *ids[:position]]])).logits[0, -1]
        total += torch.log_softmax(logits, dim=-1)[token].item()
    return total


def assert_pairs_by_hand(workdir: Workdir, result: dict[str, Any]) -> None:
    model, tokenizer = plain(workdir)
    pairs = [json.loads(line) for line in (workdir.path / "inputs" / "pairs.jsonl").read_text().splitlines()]
    right = [
        logprob_by_hand(model, tokenizer, pair["sentence_good"])
        > logprob_by_hand(model, tokenizer, pair["sentence_bad"])
        for pair in pairs
    ]
    assert result["accuracy"]["value"] == pytest.approx(sum(right) / len(right))
    assert result["accuracy"]["low"] <= result["accuracy"]["value"] <= result["accuracy"]["high"]


@torch.inference_mode()
def assert_heads_by_hand(workdir: Workdir, family: str, result: dict[str, Any]) -> None:
    """The attention that transformers itself gives out, read position by position."""
    if family == "mamba":
        return
    model, tokenizer = plain(workdir)
    half, loaded = 12, Loaded("x", workdir.path / "checkpoints" / "step64", torch.device("cpu"), "float32", None)
    sums: dict[tuple[int, int, str], float] = {}
    sequences = head_sequences(loaded, 4, half, 0)
    for drawn in sequences:
        ids = torch.tensor([[tokenizer.bos_token_id, *drawn, *drawn]])
        for layer, attention in enumerate(model(input_ids=ids, output_attentions=True).attentions):
            for head in range(attention.shape[1]):
                for query in range(half + 1, 2 * half + 1):
                    first = next(at for at in range(1, query) if at == query - half)
                    assert ids[0, first] == ids[0, query], "the same token's first time"
                    keys = {"previousToken": query - 1, "duplicateToken": first, "induction": first + 1}
                    for name, key in keys.items():
                        weight = attention[0, head, query, key].item() / half / len(sequences)
                        sums[layer, head, name] = sums.get((layer, head, name), 0.0) + weight
    assert len(sums) == 3 * len(result["heads"])
    for row in result["heads"]:
        for name in ("previousToken", "duplicateToken", "induction"):
            assert row[name]["value"] == pytest.approx(sums[row["layer"], row["head"], name], abs=1e-6)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "corpus-empty"), (b"ab\xffcd", "corpus-not-text"), (b"ab\0cd", "corpus-not-text")]
)
def test_a_text_that_is_none_is_refused_before_a_model_is_loaded(workdir: Workdir, content: bytes, code: str) -> None:
    (workdir.path / "inputs" / "held-out.txt").write_bytes(content)
    events = workdir.run(evaluate_job(["step0"]), code=2)
    assert (events[-1]["code"], events[-1]["field"]) == (code, "tasks.0.texts")


@pytest.mark.parametrize(
    "line",
    [
        b'{"sentence_good": "a"}',
        b'{"sentence_good": "a", "sentence_bad": null}',
        b'{"sentence_good": "", "sentence_bad": "b"}',
        b'["a", "b"]',
        b"\xff",
        b"",
    ],
)
def test_pairs_that_are_none_are_refused(line: bytes, workdir: Workdir) -> None:
    (workdir.path / "inputs" / "held-out.txt").write_text("text")
    (workdir.path / "inputs" / "pairs.jsonl").write_bytes(line + b"\n")
    events = workdir.run(evaluate_job(["step0"]), code=2)
    assert events[-1]["field"] == "tasks.2.path"


def test_head_scores_find_the_heads_made_for_them() -> None:
    half = 5
    size = 2 * half + 1
    patterns = np.zeros((1, 3, size, size))
    for query in range(half + 1, size):
        patterns[0, 0, query, query - 1] = 1
        patterns[0, 1, query, query - half] = 1
        patterns[0, 2, query, query - half + 1] = 1
    assert np.array_equal(head_scores_of(patterns, half)[0], np.eye(3))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        interval = mean_estimate(generator.normal(3.0, 1.0, 60), samples=300, seed=trial)
        covered += interval["low"] <= 3.0 <= interval["high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    blocks, sizes = np.arange(20.0), np.full(20, 2.0)
    assert ratio_estimate(blocks, sizes, 200, 1) == ratio_estimate(blocks, sizes, 200, 1)
    assert ratio_estimate(blocks, sizes, 200, 1) != ratio_estimate(blocks, sizes, 200, 2)
