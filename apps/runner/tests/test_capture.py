"""The capture job: files that explain themselves, measured before they are made."""

from __future__ import annotations

import json
from typing import Any

from safetensors import safe_open

from conftest import Workdir, of_kind, train_job


def capture_job(**options: Any) -> dict[str, Any]:
    return {
        "schema": "beamtime.runner-job/1",
        "kind": "capture",
        "jobId": "job_capture",
        "attempt": 1,
        "revisions": [{"revision": name, "path": f"checkpoints/{name}"} for name in ("step0", "step24")],
        "inputs": [{"id": "one", "text": "bamilo keshamita"}, {"id": "two", "tokenIds": [5, 6, 7]}],
        "sites": ["blocks.*.hook_resid_post", "blocks.*.attn.hook_pattern"],
        **options,
    }


def test_one_file_for_each_revision_and_text(workdir: Workdir) -> None:
    workdir.run(train_job())
    files = of_kind(workdir.run(capture_job()), "artifact")
    assert [(entry["revision"], entry["input"]) for entry in files] == [
        ("step0", "one"), ("step0", "two"), ("step24", "one"), ("step24", "two"),
    ]  # fmt: skip
    with safe_open(workdir.path / files[1]["path"], "pt") as tensors:
        metadata = tensors.metadata()
        assert json.loads(metadata["tokenIds"]) == [5, 6, 7]
        assert json.loads(metadata["receipt"])["revision"] == "step0"
        assert tensors.get_tensor("blocks.1.attn.hook_pattern").shape == (4, 3, 3)

    refused = workdir.run(capture_job(bytesMax=100), code=2)
    assert refused[-1]["code"] == "too-large"
    unknown = workdir.run(capture_job(sites=["blocks.*.hook_nothing"]), code=2)
    assert (unknown[-1]["code"], unknown[-1]["field"]) == ("unknown-site", "sites.0")
