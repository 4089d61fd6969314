"""The proof that is published with a model: whole, it holds; with anything changed, it does not."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from beamtime_runner.__main__ import main
from beamtime_runner.durable import SUMS
from conftest import Workdir, train_job


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = Workdir(tmp_path_factory.mktemp("verify") / "work")
    workdir.run(train_job())
    return workdir.path


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def sign_again(revision: Path) -> None:
    """A forger writes the list of hashes too."""
    names = [line.partition("  ")[2] for line in (revision / SUMS).read_text().splitlines()]
    sums = "".join(f"{hashlib.sha256((revision / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (revision / SUMS).write_text(sums)


def test_revisions_alone_prove_their_steps_and_shards_their_batches(trained: Path, capsys: Any) -> None:
    assert main(["verify", str(trained / "checkpoints")]) == 0
    assert "7 revisions, 24 steps in one chain" in capsys.readouterr().out
    assert main(["verify", str(trained / "checkpoints"), "--shards", str(trained / "data")]) == 0
    assert "batch of each was computed again" in capsys.readouterr().out
    parts = [trained / f"checkpoints/step{step}/step-chain.jsonl" for step in (0, 1, 2, 4, 8, 16, 24)]
    assert "".join(part.read_text() for part in parts) == (trained / "proof/chain.jsonl").read_text()


def test_a_run_that_was_cut_off_leaves_the_same_proof(trained: Path, tmp_path: Path) -> None:
    workdir = Workdir(tmp_path / "again")
    shutil.copytree(trained / "resumable" / "step20", workdir.path / "resume")
    workdir.run(train_job())
    for name in ("step-chain.jsonl", "beamtime.json", "data-manifest.json", SUMS):
        first, second = (path / "checkpoints" / "step24" / name for path in (trained, workdir.path))
        assert first.read_bytes() == second.read_bytes()


def change_weights(revision: Path) -> None:
    weights = load_file(revision / "model.safetensors")
    name = next(iter(weights))
    weights[name] = np.nextafter(weights[name], np.float32(9))
    save_file(weights, revision / "model.safetensors", metadata={"format": "pt"})


def change_loss(revision: Path) -> None:
    part = revision / "step-chain.jsonl"
    lines = part.read_text().splitlines(keepends=True)
    record = json.loads(lines[0])
    lines[0] = json.dumps({**record, "loss": (float.fromhex(record["loss"]) * 0.5).hex()}, separators=(",", ":")) + "\n"
    part.write_text("".join(lines))


def drop_a_step(revision: Path) -> None:
    part = revision / "step-chain.jsonl"
    part.write_text("".join(part.read_text().splitlines(keepends=True)[1:]))


def change_manifest(revision: Path) -> None:
    (revision / "data-manifest.json").write_text("{}")


@pytest.mark.parametrize("forge", [change_weights, change_loss, drop_a_step, change_manifest])
def test_a_forged_revision_is_named(forge: Any, copy: Path, capsys: Any) -> None:
    forge(copy / "step8")
    sign_again(copy / "step8")
    assert main(["verify", str(copy)]) == 2
    line = capsys.readouterr().err
    assert line.startswith("not proven: step8: ") and line.count("\n") == 1


def test_a_missing_revision_a_torn_one_and_an_empty_folder_prove_nothing(copy: Path, tmp_path: Path) -> None:
    (copy / "step16" / "config.json").write_text("{}")
    assert main(["verify", str(copy)]) == 2
    shutil.rmtree(copy / "step16")
    assert main(["verify", str(copy)]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty")]) == 2


def test_other_shards_do_not_prove_the_batches(trained: Path, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(trained / "data", tmp_path / "data")
    shard = next((tmp_path / "data" / "made-up").glob("*.uint16"))
    shard.write_bytes(shard.read_bytes()[::-1])
    assert main(["verify", str(trained / "checkpoints"), "--shards", str(tmp_path / "data")]) == 2
    assert "damaged" in capsys.readouterr().err
