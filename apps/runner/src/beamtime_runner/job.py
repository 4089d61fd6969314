"""Reads the job file: by the schema first, then what a schema cannot say. Fills in nothing; see `resolve.py`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .durable import sha256_file
from .refusals import Refused
from .schema import check

JOB_BYTES_MAX = 256 * 1024 * 1024  # a capture job may carry many texts; a corpus has no place in it


def read_job(path: Path, kind: str) -> dict[str, Any]:
    """The job of this kind in this file, or `Refused` with the field that is wrong."""
    try:
        if path.stat().st_size > JOB_BYTES_MAX:
            raise Refused("bad-job", f"{path} is larger than {JOB_BYTES_MAX} bytes")
        job = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused("bad-job", f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused("bad-job", f"{path} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise Refused(
            "bad-job", f"{path} is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from error
    odd = _not_finite(job)
    if odd is not None:
        raise Refused("bad-job", f"{odd or 'the file'}: is no finite number", odd or None)
    check(job, "job.json")
    if job["kind"] != kind:
        raise Refused("bad-job", f"kind: the file holds a job of kind {job['kind']}, and was given to {kind}", "kind")
    if kind == "train":
        _check_train(job)
    else:
        _check_unique([entry["revision"] for entry in job["revisions"]], "revisions")
    return job


def _not_finite(value: Any, field: str = "") -> str | None:
    """The first field that holds NaN or infinity, which Python reads and JSON does not have; schemas let them pass."""
    if isinstance(value, float):
        return None if math.isfinite(value) else field
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_not_finite(part, f"{field}.{name}".lstrip(".")) for name, part in parts)
    return next((place for place in found if place is not None), None)


def _check_train(job: dict[str, Any]) -> None:
    model, training, corpora = job["model"], job["training"], job["data"]["corpora"]
    heads = model.get("heads")
    if model["family"] == "mamba":
        if heads is not None:
            raise Refused("bad-job", "model.heads: mamba has no attention heads", "model.heads")
    elif heads is None:
        raise Refused("bad-job", f"model.heads: is missing, {model['family']} needs it", "model.heads")
    elif model["hiddenSize"] % heads != 0:
        detail = f"model.heads: {heads} does not divide hiddenSize {model['hiddenSize']}"
        raise Refused("bad-job", detail, "model.heads")
    if training["batchSequences"] % training.get("microBatchSequences", training["batchSequences"]) != 0:
        field = "training.microBatchSequences"
        raise Refused("bad-job", f"{field}: does not divide batchSequences {training['batchSequences']}", field)
    if training.get("warmupSteps", 0) > training["steps"]:
        raise Refused("bad-job", "training.warmupSteps: exceeds training.steps", "training.warmupSteps")
    if "maskProbability" in training and model["family"] != "bert":
        raise Refused("bad-job", "training.maskProbability: is for bert only", "training.maskProbability")
    ids = [corpus["id"] for corpus in corpora]
    _check_unique(ids, "data.corpora")
    for name in job["tokenizer"].get("corpora", []):
        _check_known(name, ids, "tokenizer.corpora")
    mix = job["data"].get("mix")
    if mix is not None:
        for name in mix:
            _check_known(name, ids, "data.mix")
        if not any(weight > 0 for weight in mix.values()):
            raise Refused("bad-job", "data.mix: every weight is 0", "data.mix")
    schedule = job.get("checkpoints", {}).get("schedule")
    if isinstance(schedule, list) and max(schedule) > training["steps"]:
        detail = f"checkpoints.schedule: step {max(schedule)} comes after the last, {training['steps']}"
        raise Refused("bad-job", detail, "checkpoints.schedule")


def _check_unique(names: list[str], field: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused("bad-job", f"{field}: {repeated[0]} is named twice", field)


def _check_known(name: str, ids: list[str], field: str) -> None:
    if name not in ids:
        raise Refused("bad-job", f"{field}: there is no corpus {name} in data.corpora", field)


def input_file(workdir: Path, path: str, field: str, sha256: str | None = None) -> Path:
    """The input at this path of the workdir, which must be a file with these bytes."""
    file = workdir / path
    if not file.is_file():
        raise Refused("input-missing", f"{field}: there is no file {path} in the workdir", field)
    if sha256 is not None and sha256_file(file) != sha256:
        raise Refused("input-changed", f"{field}: {path} is not the file that the job names, its sha256 differs", field)
    return file
