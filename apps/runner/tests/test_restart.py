"""A run that was killed ends with the bits of one that was not."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Workdir, of_kind, train_job

FAMILIES = ["gpt-neox", "llama", "gpt2", "bert", "mamba"]
NewWorkdir = Callable[[str], Workdir]


def proof(events: list[dict[str, Any]]) -> tuple[str, str, str]:
    done = events[-1]
    assert done["kind"] == "done"
    return done["weightsSha256"], done["optimiserSha256"], done["chainSha256"]


def stop_at(workdir: Workdir, job: dict[str, Any], step: int, how: signal.Signals) -> int:
    """Runs the job until this step's resumable state or a later one is announced, and sends the signal."""
    process = workdir.start(job)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["kind"] == "resumable" and event["step"] >= step:
            process.send_signal(how)
            break
    process.communicate(timeout=120)
    return process.returncode


def stage_elsewhere(old: Path, new: Path) -> None:
    """What an agent does: the newest resumable folder becomes resume/ of a fresh workdir."""
    newest = max((old / "resumable").glob("step*"), key=lambda folder: int(folder.name.removeprefix("step")))
    shutil.copytree(newest, new / "resume")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_run_resumed_in_another_folder_gives_the_same_weights(family: str, new_workdir: NewWorkdir) -> None:
    job = train_job(family)
    undisturbed = new_workdir("undisturbed").run(job)
    killed, fresh = new_workdir("killed"), new_workdir("fresh")
    assert stop_at(killed, job, 5, signal.SIGKILL) == -signal.SIGKILL
    stage_elsewhere(killed.path, fresh.path)
    resumed = fresh.run({**job, "attempt": 2})
    assert of_kind(resumed, "resumed")[0]["fromStep"] >= 5
    assert proof(resumed) == proof(undisturbed)
    assert [event["attempt"] for event in resumed] == [2] * len(resumed)


def test_usr1_saves_the_state_and_exits_with_the_code_to_requeue(new_workdir: NewWorkdir) -> None:
    job = train_job(training={"steps": 60, "batchSequences": 4, "learningRate": 3e-3})
    undisturbed = new_workdir("undisturbed").run(job)
    warned = new_workdir("warned")
    assert stop_at(warned, job, 5, signal.SIGUSR1) == 75
    last = [json.loads(line) for line in (warned.path / "events.jsonl").read_text().splitlines()][-1]
    assert (last["kind"], last["signal"]) == ("interrupted", "SIGUSR1")
    resumed = warned.run(job)
    assert of_kind(resumed, "resumed")[0]["fromStep"] == last["step"]
    assert proof(resumed) == proof(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_ten_kills_at_random_moments_change_no_bit(family: str, new_workdir: NewWorkdir) -> None:
    job = train_job(family, training={"steps": 120, "batchSequences": 4, "learningRate": 3e-3})
    undisturbed = new_workdir("undisturbed").run(job)
    draw = random.Random(family)
    workdir = new_workdir("kill0")
    for number in range(1, 11):
        job["attempt"] = number
        stop_at(workdir, job, draw.randrange(10 * number - 5, 10 * number + 5), signal.SIGKILL)
        fresh = new_workdir(f"kill{number}")
        stage_elsewhere(workdir.path, fresh.path)
        workdir = fresh
    resumed = workdir.run({**job, "attempt": 11})
    assert proof(resumed) == proof(undisturbed)
