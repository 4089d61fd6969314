"""Two processes that train one model together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from beamtime_runner.schema import check
from conftest import Workdir, of_kind, train_job


def run_team(workdir: Workdir, job: dict[str, Any], size: int) -> list[dict[str, Any]]:
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
