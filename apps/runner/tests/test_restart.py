"""A run that was killed ends with the bits of one that was not."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Workdir, made_up_text, of_kind, train_job

FAMILIES = ["gpt-neox", "llama", "gpt2", "bert", "mamba"]
NewWorkdir = Callable[[str], Workdir]


def proof(events: list[dict[str, Any]]) -> tuple[str, str, str]:
    done = events[-1]
    assert done["kind"] == "done"
    return done["weightsSha256"], done["optimiserSha256"], done["chainSha256"]


def stop_at(workdir: Workdir, job: dict[str, Any], step: int, how: signal.Signals, after_seconds: float = 0) -> int:
    """Runs the job until this step's resumable state or a later one is announced, waits, and sends the signal."""
    process = workdir.start(job)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["kind"] == "resumable" and event["step"] >= step:
            time.sleep(after_seconds)
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
    """Each kill comes a random while after a random step, in a step or in the middle of a file, and the next attempt
    goes on in another folder."""
    steps = {"steps": 300, "batchSequences": 4, "learningRate": 3e-3}
    job = train_job(family, training=steps, checkpoints={"schedule": "pythia", "resumeEverySteps": 7})
    undisturbed = new_workdir("undisturbed").run(job)
    draw, states, workdir = random.Random(family), [], new_workdir("kill0")
    for number in range(1, 11):
        after = draw.uniform(0, 0.3)
        ended = stop_at(workdir, {**job, "attempt": number}, draw.randrange(1, 20 * number), signal.SIGKILL, after)
        assert ended == -signal.SIGKILL
        fresh = new_workdir(f"kill{number}")
        stage_elsewhere(workdir.path, fresh.path)
        workdir = fresh
        states.append(json.loads((workdir.path / "resume" / "state.json").read_text())["step"])
    print(f"{family}: resumed from steps {states}")
    assert proof(workdir.run({**job, "attempt": 11})) == proof(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_ten_preemptions_by_usr1_change_no_bit(family: str, new_workdir: NewWorkdir) -> None:
    job = train_job(family, training={"steps": 300, "batchSequences": 4, "learningRate": 3e-3})
    undisturbed = new_workdir("undisturbed").run(job)
    draw, workdir = random.Random(family), new_workdir("warned0")
    for number in range(1, 11):
        process = workdir.start({**job, "attempt": number})
        wait_for(process, "resolved")
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=120)
        assert process.returncode in (75, 0)
        fresh = new_workdir(f"warned{number}")
        stage_elsewhere(workdir.path, fresh.path)
        workdir = fresh
    assert proof(workdir.run({**job, "attempt": 11})) == proof(undisturbed)


LONG = {"steps": 4000, "batchSequences": 4, "learningRate": 3e-3}


def last_event(workdir: Workdir) -> dict[str, Any]:
    return json.loads((workdir.path / "events.jsonl").read_text().splitlines()[-1])


def wait_for(process: subprocess.Popen[str], kind: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["kind"] == kind:
            return
    raise AssertionError(process.communicate()[1])


def test_a_listener_that_leaves_ends_the_run_with_its_state_saved(workdir: Workdir) -> None:
    process = workdir.start(train_job(training=LONG))
    wait_for(process, "resumable")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 75
    assert (last_event(workdir)["kind"], last_event(workdir)["signal"]) == ("interrupted", "SIGPIPE")


def test_a_parent_that_dies_ends_the_run_when_asked_to(workdir: Workdir) -> None:
    job = train_job(training=LONG)
    command = " ".join(shlex.quote(part) for part in workdir.command(job))
    log = workdir.path / "log"
    parent = subprocess.Popen(["sh", "-c", f"BEAMTIME_EXIT_WITH_PARENT=1 {command} > {log} & wait"])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and '"resumable"' in log.read_text()):
        time.sleep(0.2)
    parent.kill()
    parent.wait()
    while time.monotonic() < deadline and last_event(workdir)["kind"] != "interrupted":
        time.sleep(0.2)
    assert last_event(workdir)["signal"] == "PARENT-GONE"


def test_term_in_the_middle_of_tokenising_is_no_failure(workdir: Workdir) -> None:
    (workdir.path / "inputs" / "text.txt").write_text(made_up_text(60_000), encoding="utf-8")
    process = workdir.start(train_job())
    wait_for(process, "tokenizer")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert last_event(workdir)["step"] is None
