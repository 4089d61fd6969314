"""What a training run leaves behind, and what it says of itself."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from beamtime_runner import environment
from beamtime_runner.chain import head_of
from beamtime_runner.checkpoint import CheckpointFormat, Snapshot
from beamtime_runner.durable import SUMS, check_folder
from beamtime_runner.models import build_config, build_model
from beamtime_runner.objectives import choose_masks
from beamtime_runner.schedules import checkpoint_steps, learning_rate, resolve_training
from conftest import Workdir, made_up_text, of_kind, train_job

FAMILIES = ["gpt-neox", "llama", "gpt2", "bert", "mamba"]


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_transformers_loads_a_checkpoint_with_equal_logits(family: str, workdir: Workdir) -> None:
    job = train_job(family)
    events = workdir.run(job)
    checkpoint = of_kind(events, "checkpoint")[-1]
    folder = workdir.path / checkpoint["dir"]
    auto = AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM
    loaded: Any = auto.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer("bamilo keshamita nuquris")["input_ids"]])
    ours: Any = build_model(build_config(job["model"], len(tokenizer), 0), seed=0).eval()
    state = load_file(workdir.path / of_kind(events, "resumable")[-1]["dir"] / "model.safetensors")
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(state[name])
        assert torch.equal(loaded.eval()(input_ids=ids).logits, ours(input_ids=ids).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_has_the_bytes_that_save_pretrained_writes(family: str, tmp_path: Any) -> None:
    model = build_model(build_config(train_job(family)["model"], 300, 0), seed=3)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(number)  # norms and biases begin equal, which would hide two that are exchanged
    model.save_pretrained(tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    CheckpointFormat(model).write(tmp_path / "ours", Snapshot(model))
    names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "ours").iterdir())
    for name in names:
        assert (tmp_path / "theirs" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()


def test_the_initial_checkpoint_depends_on_its_seed_alone(tmp_path: Any) -> None:
    def initial(number: int, **seeds: int) -> str:
        job = train_job(seeds=seeds, training={"steps": 1, "batchSequences": 4, "learningRate": 1e-3})
        return of_kind(Workdir(tmp_path / str(number)).run(job), "checkpoint")[0]["weightsSha256"]

    first = initial(1, initialisation=1, dataOrder=1)
    assert initial(2, initialisation=1, dataOrder=2) == first
    assert initial(3, initialisation=2, dataOrder=1) != first


def test_omitted_options_are_resolved_and_reported(workdir: Workdir) -> None:
    events = workdir.run(train_job())
    resolved = of_kind(events, "resolved")[0]
    assert resolved["training"]["schedule"] == "cosine"
    assert resolved["training"]["beta2"] == 0.95
    assert resolved["model"]["intermediateSize"] == 128
    assert resolved["model"]["tieEmbeddings"] is False
    assert resolved["model"]["config"]["rope_parameters"]["partial_rotary_factor"] == 0.25
    assert resolved["checkpoints"]["steps"] == [0, 1, 2, 4, 8, 16, 24]
    model: Any = AutoModelForCausalLM.from_pretrained(workdir.path / "checkpoints" / "step24")
    assert resolved["model"]["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert resolved["model"]["parametersWithoutEmbeddings"] == model.num_parameters(exclude_embeddings=True) - (
        model.lm_head.weight.numel()
    )


def test_no_loss_is_missing_from_the_events_and_the_chain_is_checked_by_hand(workdir: Workdir) -> None:
    events = workdir.run(train_job())
    losses = [pair for event in of_kind(events, "progress") for pair in event.get("losses", [])]
    assert [step for step, _ in losses] == list(range(1, 25))
    proof = of_kind(events, "artifact")[0]
    data = (workdir.path / proof["path"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == proof["sha256"]
    lines = data.decode().splitlines()
    assert head_of(lines) == events[-1]["chainSha256"]
    chained = [float.fromhex(record["loss"]) for record in map(json.loads, lines) if "loss" in record]
    assert chained == [loss for _, loss in losses]
    assert losses[-1][1] < losses[0][1]


def test_each_checkpoint_holds_what_its_event_says(workdir: Workdir) -> None:
    events = workdir.run(train_job())
    for event in [*of_kind(events, "checkpoint"), *of_kind(events, "resumable")[-2:]]:
        folder = workdir.path / event["dir"]
        check_folder(folder)
        assert sorted(entry["path"] for entry in event["files"]) == sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        for entry in event["files"]:
            data = (folder / entry["path"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
        assert SUMS in {entry["path"] for entry in event["files"]}


def test_small_batches_in_sequence_learn_what_one_large_batch_does(tmp_path: Any) -> None:
    training = {"steps": 6, "batchSequences": 8, "learningRate": 1e-3}
    whole = Workdir(tmp_path / "whole").run(train_job(training=training))
    parts = Workdir(tmp_path / "parts").run(train_job(training=training | {"microBatchSequences": 2}))
    for first, second in zip(of_kind(whole, "checkpoint"), of_kind(parts, "checkpoint"), strict=True):
        assert (first["loss"] or 0) == pytest.approx(second["loss"] or 0, rel=1e-4)


def test_a_tokenizer_folder_made_before_keeps_its_bytes(workdir: Workdir) -> None:
    first = of_kind(workdir.run(train_job()), "tokenizer")[0]
    (workdir.path / "tokenizer").rename(workdir.path / "inputs" / "tokenizer")
    for name in ("resumable", "checkpoints"):
        (workdir.path / name).rename(workdir.path / f"old-{name}")
    job = train_job()
    job["tokenizer"] = {"kind": "folder", "path": "inputs/tokenizer"}
    assert of_kind(workdir.run(job), "tokenizer")[0]["sha256"] == first["sha256"]


def test_bytes_seen_follow_bytes_per_token(workdir: Workdir) -> None:
    events = workdir.run(train_job())
    corpus = of_kind(events, "resolved")[0]["data"]["corpora"][0]
    last = of_kind(events, "checkpoint")[-1]
    assert last["tokensSeen"] == 24 * 4 * 32
    assert last["bytesSeen"] == pytest.approx(last["tokensSeen"] * corpus["bytes"] / corpus["tokens"], rel=1e-3)
    rate = of_kind(events, "tokenizer")[0]["corpora"][0]
    assert rate["fertility"] > 1
    assert corpus["bytes"] == len(made_up_text(400).encode())


def test_pythias_schedule_is_pythias() -> None:
    steps = checkpoint_steps("pythia", 143_000)
    assert len(steps) == 154
    assert steps[:12] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
    assert steps[-1] == 143_000
    assert checkpoint_steps("log2", 100) == [0, 1, 2, 4, 8, 16, 32, 64, 100]
    assert checkpoint_steps([5, 3], 9) == [3, 5, 9]


@given(steps=st.integers(1, 300), warmup=st.integers(0, 300), kind=st.sampled_from(["constant", "linear", "cosine"]))
def test_the_learning_rate_rises_then_falls_within_its_bounds(steps: int, warmup: int, kind: str) -> None:
    options = {
        "steps": steps,
        "batchSequences": 1,
        "learningRate": 0.5,
        "schedule": kind,
        "warmupSteps": min(warmup, steps),
    }
    training = resolve_training(options, "gpt2")
    rates = [learning_rate(step, training) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)
    peak = min(warmup, steps)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if kind != "constant" and steps > peak:
        assert rates[-1] >= 0.05 - math.ulp(0.05)


def test_masks_are_a_function_of_step_and_row() -> None:
    whole = choose_masks(9, 0, (8, 32), 0.15, 3, 300)
    part = choose_masks(9, 5, (2, 32), 0.15, 3, 300)
    for all_rows, two_rows in zip(whole, part, strict=True):
        assert (all_rows[5:7] == two_rows).all()
    assert whole[0].shape == (8, 5)
    assert not (whole[0] == choose_masks(10, 0, (8, 32), 0.15, 3, 300)[0]).all()


def test_bfloat16_is_autocast_and_learns_as_float32_does(tmp_path: Any) -> None:
    training = {"steps": 8, "batchSequences": 4, "learningRate": 1e-3}
    runs = [
        Workdir(tmp_path / dtype).run(train_job(training=training | {"dtype": dtype}))
        for dtype in ("float32", "bfloat16")
    ]
    exact, rounded = ([event["loss"] for event in of_kind(run, "checkpoint")][1:] for run in runs)
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=1e-2)
    weights = load_file(tmp_path / "bfloat16" / "checkpoints" / "step8" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_run_learns_what_an_eager_one_does(tmp_path: Any) -> None:
    eager, compiled = (
        Workdir(tmp_path / str(wanted)).run(train_job(runtime={"compile": wanted})) for wanted in (False, True)
    )
    assert of_kind(compiled, "resolved")[0]["runtime"]["compile"] is True
    losses = [[event["loss"] for event in of_kind(run, "checkpoint")][1:] for run in (eager, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_utilisation_is_reported_against_the_peak_of_the_card(workdir: Workdir, monkeypatch: Any) -> None:
    assert environment.peak_flops_of("NVIDIA H100 80GB HBM3") == 989e12
    assert environment.peak_flops_of("NVIDIA H100 PCIe") == 756e12
    assert environment.peak_flops_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert environment.peak_flops_of("NVIDIA L40S") == 362e12
    assert environment.peak_flops_of("NVIDIA L4") == 121e12
    assert environment.peak_flops_of("cpu AVX512") is None
    assert "modelFlopsUtilisation" not in workdir.run(train_job())[-1]
    shutil.rmtree(workdir.path / "resumable")
    monkeypatch.setattr(environment, "peak_flops", lambda _: 1e9)
    events = workdir.run(train_job())
    resolved, done = of_kind(events, "resolved")[0], events[-1]
    per_token = resolved["flops"] / resolved["data"]["tokens"]
    assert done["modelFlopsUtilisation"] == pytest.approx(done["tokensPerSecond"] * per_token / 1e9)
    config, body = resolved["model"]["config"], resolved["model"]["parametersWithoutEmbeddings"]
    by_hand = 6 * (body + config["vocab_size"] * 32) + 12 * 2 * 32 * 32  # layers × width × context
    assert per_token == by_hand
