"""A small world for the tests: made-up text, tiny jobs, and runs in processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beamtime_runner.__main__ import main
from beamtime_runner.schema import check

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

SYLLABLES = [
    "ba",
    "ke",
    "lo",
    "mi",
    "nu",
    "sha",
    "tré",
    "vö",
    "да",
    "ло",
    "ni",
    "qu",
    "ris",
    "ta",
    "um",
    "zel",
]


def made_up_text(lines: int, seed: int = 1) -> str:
    """Lines of words by Zipf's law: enough structure to learn from, no licence to mind."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(400)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    return "".join(" ".join(draw.choices(words, weights, k=draw.randint(3, 12))) + ".\n" for _ in range(lines))


def train_job(family: str = "gpt-neox", **parts: Any) -> dict[str, Any]:
    """A job that takes a second; `parts` replace or, where both are objects, extend its fields."""
    job: dict[str, Any] = {
        "schema": "beamtime.runner-job/1",
        "kind": "train",
        "jobId": "job_test",
        "attempt": 1,
        "model": {"family": family, "hiddenSize": 32, "layers": 2, "heads": 4, "contextTokens": 32},
        "tokenizer": {"kind": "bpe", "vocabSize": 320},
        "data": {"corpora": [{"id": "made-up", "path": "inputs/text.txt", "language": "mul", "script": "Latn"}]},
        "seeds": {"initialisation": 1, "dataOrder": 2},
        "training": {"steps": 24, "batchSequences": 4, "learningRate": 3e-3},
        "checkpoints": {"resumeEverySteps": 5},
    }
    if family == "mamba":
        del job["model"]["heads"]
    for name, part in parts.items():
        job[name] = {**job[name], **part} if isinstance(part, dict) and name in job else part
    return job


class Workdir:
    """A workdir with its inputs, and the runner in it: here, or as a process of its own that can be killed."""

    def __init__(self, path: Path, text: str = ""):
        self.path = path
        (path / "inputs").mkdir(parents=True)
        (path / "inputs" / "text.txt").write_text(text or made_up_text(400), encoding="utf-8")

    def command(self, job: dict[str, Any]) -> list[str]:
        job_path = self.path / "job.json"
        job_path.write_text(json.dumps(job), encoding="utf-8")
        kind = job.get("kind", "train")
        return [
            sys.executable,
            "-m",
            "beamtime_runner",
            kind,
            "--job",
            str(job_path),
            "--workdir",
            str(self.path),
        ]

    def start(self, job: dict[str, Any], **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(job),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )

    def run(self, job: dict[str, Any], code: int = 0) -> list[dict[str, Any]]:
        """The events of a whole run, in this process, that ends with this code; each fits its schema."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)}
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                got = main(self.command(job)[3:])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        assert got == code, err.getvalue() + out.getvalue()[-2000:]
        events = [json.loads(line) for line in out.getvalue().splitlines()]
        for number, event in enumerate(events):
            check(event, "event.json")
            assert event["seq"] == number
        return events


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == kind]


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir(tmp_path / "work")


@pytest.fixture
def new_workdir(tmp_path: Path) -> Callable[[str], Workdir]:
    return lambda name: Workdir(tmp_path / name)


def slow_tests_wanted() -> bool:
    return os.environ.get("BEAMTIME_SLOW") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not slow_tests_wanted():
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="set BEAMTIME_SLOW=1 for the long proofs"))
