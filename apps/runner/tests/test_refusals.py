"""What is wrong with a job is said in one line, by the field's name, before a device is touched."""

from __future__ import annotations

import errno
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beamtime_runner import durable, environment
from beamtime_runner.checkpoint import find_resumable
from beamtime_runner.job import read_job
from beamtime_runner.refusals import Refused
from conftest import Workdir, made_up_text, of_kind, train_job


def with_path(path: str, value: Any) -> dict[str, Any]:
    """The test job with one field set; None takes the field away."""
    job: Any = json.loads(json.dumps(train_job()))
    *parents, last = path.split(".")
    place = job
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return job


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("model.family", "gpt-9", "model.family"),
        ("model.heads", 5, "model.heads"),
        ("model.heads", None, "model.heads"),
        ("model.hiddenSize", 0, "model.hiddenSize"),
        ("model.contextTokens", None, "model.contextTokens"),
        ("model.depth", 3, "model.depth"),
        ("kind", "tarin", "kind"),
        ("schema", "beamtime.runner-job/2", "schema"),
        ("training.steps", 10**9, "training.steps"),
        ("training.learningRate", -1, "training.learningRate"),
        ("training.learningRate", "fast", "training.learningRate"),
        ("training.learningRate", math.nan, "training.learningRate"),
        ("data.mix", {"made-up": math.inf}, "data.mix.made-up"),
        ("training.microBatchSequences", 3, "training.microBatchSequences"),
        ("training.warmupSteps", 25, "training.warmupSteps"),
        ("training.maskProbability", 0.2, "training.maskProbability"),
        ("tokenizer.kind", "wordpiece", "tokenizer.kind"),
        ("tokenizer.vocabSize", 3, "tokenizer.vocabSize"),
        ("tokenizer.corpora", ["nowhere"], "tokenizer.corpora"),
        ("data.corpora", [], "data.corpora"),
        ("data.corpora.0.path", "../../etc/passwd", "data.corpora.0.path"),
        ("data.corpora.0.path", "/etc/passwd", "data.corpora.0.path"),
        ("data.corpora.0.language", "english", "data.corpora.0.language"),
        ("data.mix", {"nowhere": 1}, "data.mix"),
        ("data.mix", {"made-up": 0}, "data.mix"),
        ("checkpoints.schedule", "weekly", "checkpoints.schedule"),
        ("checkpoints.schedule", [25], "checkpoints.schedule"),
        ("seeds.initialisation", -1, "seeds.initialisation"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, path: str, value: Any, field: str) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(with_path(path, value)))
    with pytest.raises(Refused) as refused:
        read_job(file, "train")
    assert refused.value.field == field
    assert refused.value.detail.startswith(field)
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null", b'{"kind": "train"}'])
def test_a_file_that_is_no_job_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "job.json"
    file.write_bytes(content)
    with pytest.raises(Refused):
        read_job(file, "train")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "corpus-empty"),
        (b"text \xff\xfe", "corpus-not-text"),
        (b"\x7fELF\0\0" * 100, "corpus-not-text"),
        (b"zu kurz" * 5, "corpus-too-small"),
        (None, "input-missing"),
    ],
)
def test_a_corpus_that_cannot_be_learnt_from_is_refused(workdir: Workdir, content: bytes | None, code: str) -> None:
    path = workdir.path / "inputs" / "text.txt"
    path.unlink() if content is None else path.write_bytes(content)
    events = workdir.run(
        with_path("tokenizer", {"kind": "byte"}) | {"model": train_job()["model"] | {"contextTokens": 64}}, 2
    )
    assert (events[-1]["kind"], events[-1]["code"], events[-1]["field"]) == ("failed", code, "data.corpora")


def test_a_changed_corpus_is_noticed(workdir: Workdir) -> None:
    events = workdir.run(with_path("data.corpora.0.sha256", "0" * 64), code=2)
    assert events[-1]["code"] == "corpus-changed"


def test_an_option_that_the_family_does_not_have_is_named(workdir: Workdir) -> None:
    events = workdir.run(with_path("model.options", {"rotary": 1}), code=2)
    assert events[-1]["field"] == "model.options.rotary"


@pytest.mark.parametrize(
    ("shape", "field"),
    [
        ({"family": "llama", "hiddenSize": 36, "heads": 4, "options": {"num_key_value_heads": 3}}, "model"),
        ({"family": "llama", "hiddenSize": 20, "heads": 4}, "model"),  # heads 5 wide have no pairs to rotate
        ({"family": "llama", "hiddenSize": 32, "heads": 4, "options": {"hidden_size": 8}}, "model.options.hidden_size"),
        ({"family": "gpt-neox", "hiddenSize": 32, "heads": 4, "options": {"hidden_act": "guess"}}, "model"),
        ({"family": "mamba", "hiddenSize": 32, "intermediateSize": 33}, "model.intermediateSize"),
    ],
)
def test_a_shape_that_cannot_be_computed_is_refused_before_anything_is_tokenised(
    shape: dict[str, Any], field: str, workdir: Workdir
) -> None:
    events = workdir.run(train_job() | {"model": {"layers": 2, "contextTokens": 32, **shape}}, code=2)
    assert (events[-1]["code"], events[-1]["field"]) == ("bad-job", field)
    assert not (workdir.path / "tokenizer").exists()
    assert "\n" not in events[-1]["detail"]


def test_a_loss_that_is_no_number_stops_the_run_at_the_last_good_state(workdir: Workdir) -> None:
    job = train_job(
        training={"steps": 24, "batchSequences": 4, "learningRate": 10, "gradientClip": 0, "warmupSteps": 10}
    )
    job["model"]["options"] = {"initializer_range": 1e18}
    events = workdir.run(job, code=2)
    assert (events[-1]["code"], events[-1]["field"]) == ("loss-not-finite", "training.learningRate")
    assert "step 1" in events[-1]["detail"]
    assert [event["step"] for event in of_kind(events, "checkpoint")] == [0]


def test_a_refusal_is_one_line_on_stderr_and_code_2(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps(with_path("model.heads", 5)))
    command = [sys.executable, "-m", "beamtime_runner", "train", "--job", str(job), "--workdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "refused: model.heads: 5 does not divide hiddenSize 32\n"


# ---------------------------------------------------------------- damage


def test_a_damaged_state_is_passed_over_for_an_older_one(workdir: Workdir) -> None:
    job = train_job()
    undisturbed = workdir.run(job)[-1]
    states = sorted((workdir.path / "resumable").glob("step*"), key=lambda path: int(path.name.removeprefix("step")))
    weights = states[-1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    resumed = workdir.run(job)
    assert of_kind(resumed, "warning")[0]["code"] == "checkpoint-torn"
    assert of_kind(resumed, "resumed")[0]["fromStep"] == 20
    assert resumed[-1]["weightsSha256"] == undisturbed["weightsSha256"]
    assert resumed[-1]["chainSha256"] == undisturbed["chainSha256"]


def test_a_state_of_another_run_is_refused(workdir: Workdir) -> None:
    workdir.run(train_job())
    events = workdir.run(train_job(seeds={"initialisation": 5, "dataOrder": 2}), code=2)
    assert (events[-1]["code"], events[-1]["field"]) == ("resume-mismatch", "seeds")


def test_a_finished_run_says_again_what_it_came_to(workdir: Workdir) -> None:
    first = workdir.run(train_job())[-1]
    again = workdir.run(train_job())[-1]
    for name in ("weightsSha256", "optimiserSha256", "chainSha256"):
        assert again[name] == first[name]


def writing(text: str) -> Callable[[Path], None]:
    def fill(draft: Path) -> None:
        (draft / "a").write_text(text)

    return fill


def test_a_full_disk_leaves_the_old_folder_and_no_new_one(tmp_path: Path) -> None:
    target = tmp_path / "step5"
    durable.write_folder(target, writing("old"))

    def fill(draft: Path) -> None:
        (draft / "a").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Refused) as refused:
        durable.write_folder(target, fill)
    assert (refused.value.code, refused.value.exit_code) == ("disk-full", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step5"]
    assert (target / "a").read_text() == "old"


def test_a_run_on_a_disk_that_fills_up_keeps_its_last_good_state(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        workdir = Workdir(mount / "work", made_up_text(300))
        events = workdir.run(train_job(checkpoints={"schedule": list(range(25)), "resumeEverySteps": 4}), code=1)
        assert (events[-1]["kind"], events[-1]["code"]) == ("failed", "disk-full")
        found, faults = find_resumable(workdir.path)
        assert found is not None
        assert faults == []
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


@pytest.mark.parametrize("damage", ["shorter", "missing", "other", "no-list"])
def test_a_torn_folder_is_known(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "step5"
    durable.write_folder(folder, writing("whole"))
    durable.check_folder(folder)
    {
        "shorter": lambda: (folder / "a").write_text("who"),
        "missing": lambda: (folder / "a").unlink(),
        "other": lambda: (folder / "a").write_text("whale"),
        "no-list": lambda: (folder / durable.SUMS).unlink(),
    }[damage]()
    with pytest.raises(durable.Torn):
        durable.check_folder(folder)


class FakeCuda:
    """Stands for torch with a CUDA device: notes the fraction that it is bound to."""

    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.cuda = self

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        self.fractions.append(fraction)


@pytest.mark.parametrize(("text", "fractions"), [(None, []), ("0.33", [0.33]), ("1", [1.0])])
def test_keeps_to_its_part_of_the_memory_of_a_gpu(
    text: str | None, fractions: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environment.MEMORY_FRACTION, raising=False)
    if text is not None:
        monkeypatch.setenv(environment.MEMORY_FRACTION, text)
    torch = FakeCuda()
    environment.keep_to_share(torch)
    assert torch.fractions == fractions


@pytest.mark.parametrize("text", ["", "half", "0", "1.5", "-1", "nan"])
def test_refuses_a_part_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.MEMORY_FRACTION, text)
    with pytest.raises(Refused, match="BEAMTIME_GPU_MEMORY_FRACTION"):
        environment.keep_to_share(FakeCuda())


def test_bounds_the_memory_as_soon_as_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    fractions: list[float] = []
    monkeypatch.setenv(environment.MEMORY_FRACTION, "0.5")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fractions.append)
    runtime = environment.resolve_runtime({"deterministic": False})
    environment.start_torch(runtime)
    assert (runtime["device"], fractions) == ("cuda", [0.5])
