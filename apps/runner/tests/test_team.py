"""Several processes that train one model together."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from beamtime_runner.schema import check
from conftest import Workdir, of_kind, train_job


def run_team(workdir: Workdir, job: dict[str, Any], size: int) -> list[dict[str, Any]]:
    if size == 1:
        return workdir.run(job)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    done = subprocess.run(
        [*command, *workdir.command(job)[1:]], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for event in events:
        check(event, "event.json")
    return events


def test_two_processes_learn_what_one_does_and_resume_with_the_same_bits(tmp_path: Path) -> None:
    job = train_job(training={"steps": 12, "batchSequences": 4, "learningRate": 1e-3})
    alone = Workdir(tmp_path / "alone").run(job)
    workdir = Workdir(tmp_path / "together")
    together = run_team(workdir, job, 2)
    assert [event["kind"] for event in together].count("done") == 1
    for mine, theirs in zip(of_kind(alone, "checkpoint"), of_kind(together, "checkpoint"), strict=True):
        assert (mine["loss"] or 0) == pytest.approx(theirs["loss"] or 0, rel=1e-4)
    assert of_kind(together, "resolved")[0]["environment"]["processes"] == 2
    for name in ("resumable/step12", "checkpoints/step12"):  # as if cut off after step 10
        subprocess.run(["rm", "-r", str(workdir.path / name)], check=True)
    again = run_team(workdir, job, 2)
    assert of_kind(again, "resumed")[0]["fromStep"] == 10
    assert again[-1]["weightsSha256"] == together[-1]["weightsSha256"]
    assert again[-1]["optimiserSha256"] == together[-1]["optimiserSha256"]


def test_a_batch_that_the_processes_cannot_share_is_refused(workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    events = workdir.run(train_job(), code=2)
    assert events[-1]["field"] == "training.batchSequences"


def cut_off_after(workdir: Workdir, step: int) -> None:
    """Takes away what was kept after a step, as if the run had been cut off there."""
    for folder in (workdir.path / "resumable", workdir.path / "checkpoints"):
        for kept in folder.glob("step*"):
            if int(kept.name.removeprefix("step")) > step:
                shutil.rmtree(kept)


ELASTIC = {"steps": 6, "batchSequences": 8, "learningRate": 1e-3}


def test_any_halving_of_the_processes_takes_the_seats_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    dropout = {"options": {"hidden_dropout": 0.1}}  # random numbers go by seat, too
    job = train_job(training=ELASTIC, model=dropout) | {"seats": 4}
    ends = {size: run_team(Workdir(tmp_path / str(size)), job, size)[-1] for size in (4, 2, 1)}
    for size in (2, 1):
        for name in ("weightsSha256", "optimiserSha256", "chainSha256"):
            assert ends[size][name] == ends[4][name], f"{name} of {size} processes"


def test_a_run_goes_on_with_fewer_and_with_more_processes_with_the_same_bits(tmp_path: Path) -> None:
    job = train_job(training=ELASTIC) | {"seats": 4}
    job["checkpoints"] = {"schedule": "log2", "resumeEverySteps": 2}
    undisturbed = run_team(Workdir(tmp_path / "undisturbed"), job, 1)[-1]
    changing = Workdir(tmp_path / "changing")
    run_team(changing, job, 4)
    for size in (1, 2):
        cut_off_after(changing, 4)
        again = run_team(changing, job, size)
        assert of_kind(again, "resumed")[0]["fromStep"] == 4
        assert of_kind(again, "resolved")[0]["environment"]["processes"] == size
        for name in ("weightsSha256", "optimiserSha256", "chainSha256"):
            assert again[-1][name] == undisturbed[name]


def test_a_run_with_several_seats_leaves_between_two_of_them(tmp_path: Path) -> None:
    job = train_job(training=ELASTIC | {"batchSequences": 2_048}, model={"layers": 4}) | {"seats": 2_048}
    process = Workdir(tmp_path / "slow").start(job)  # a step takes some ten seconds
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["kind"] == "resolved":
            time.sleep(1)
            process.send_signal(signal.SIGUSR1)
            break
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 75
    assert json.loads(said.splitlines()[-1])["kind"] == "interrupted"
    assert json.loads(said.splitlines()[-1])["step"] == 0


def test_an_odd_number_of_sums_is_added_the_same_way_by_twice_as_many(tmp_path: Path) -> None:
    job = train_job(training=ELASTIC | {"steps": 2, "batchSequences": 6}) | {"seats": 6}
    six = run_team(Workdir(tmp_path / "six"), job, 6)[-1]
    three = run_team(Workdir(tmp_path / "three"), job, 3)[-1]
    assert six["weightsSha256"] == three["weightsSha256"]


def test_a_number_of_processes_that_is_no_halving_of_the_seats_is_refused(
    workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    events = workdir.run(train_job(training=ELASTIC) | {"seats": 4}, code=2)
    assert events[-1]["field"] == "seats"
    assert "4 can be taken by 4, 2, 1 processes, not by 3" in events[-1]["detail"]
