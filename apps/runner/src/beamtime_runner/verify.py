"""Checks the proof that is published with a model: from its checkpoints alone, without the runner that made them.

Each revision holds the hash chain of the steps since the one before it. Put end to end they say which batch every
step learnt from, its loss to the last bit, and the sha256 of every checkpoint's weights. With the shards at hand the
batch of every step is computed again too. Whoever trains the job again has to arrive at the same head.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .batches import Batches, batch_sha256, batches_of_manifest
from .chain import GENESIS, link
from .checkpoint import ABOUT, CHAIN_PART, CHECKPOINT_SCHEMA, MANIFEST_COPY, WEIGHTS
from .durable import Torn, check_folder, sha256_file
from .refusals import Refused


def verify(folder: Path, shards: Path | None, say: Callable[[str], None] = print) -> None:
    """Checks all revisions `step*` in this folder in order; `Refused` with the first thing that does not hold.

    `shards` is the folder `data` of a run with the same texts and tokenizer, or None.
    """
    revisions = _revisions(folder)
    head, step, batches, manifest_sha256 = GENESIS, 0, None, None
    for revision, about in revisions:
        if about["chainBeforeSha256"] != head:
            raise _broken(revision, f"does not go on from step {step}: a revision between them is missing or another's")
        if manifest_sha256 not in (None, about["manifestSha256"]):
            raise _broken(revision, "names another data manifest than the revision before it")
        if manifest_sha256 is None and shards is not None:
            manifest = json.loads((revision / MANIFEST_COPY).read_text(encoding="utf-8"))
            batches = batches_of_manifest(manifest, shards)
        manifest_sha256 = about["manifestSha256"]
        head, step = _check_part(revision, about, head, step, batches)
        say(f"{revision.name}: the weights and steps up to {step} hold, head {head}")
    data = "and the batch of each was computed again" if batches else "their batches were not computed (no --shards)"
    say(f"proven: {len(revisions)} revisions, {step} steps in one chain, {data}")


def _revisions(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for revision in folder.glob("step*/"):
        try:
            check_folder(revision)
            about = json.loads((revision / ABOUT).read_text(encoding="utf-8"))
            if about["schema"] != CHECKPOINT_SCHEMA:
                raise Torn(f"{revision.name} was written by another version: {about['schema']}")
            if sha256_file(revision / MANIFEST_COPY) != about["manifestSha256"]:
                raise Torn(f"{MANIFEST_COPY} in {revision.name} is not the manifest that it names")
        except (Torn, OSError, ValueError, KeyError, TypeError) as fault:
            raise Refused("proof-broken", f"{revision.name}: {fault}", "folder") from fault
        found.append((revision, about))
    if not found:
        raise Refused("input-missing", f"there are no revisions step* in {folder}", "folder")
    return sorted(found, key=lambda entry: entry[1]["step"])


def _check_part(
    revision: Path, about: dict[str, Any], head: str, step: int, batches: Batches | None
) -> tuple[str, int]:
    """Follows the lines of one revision; returns the head and the step after them."""
    weights: dict[str, Any] | None = None
    with (revision / CHAIN_PART).open(encoding="utf-8") as lines:
        for line in lines:
            record, head = json.loads(line), link(head, line.rstrip("\n"))
            if weights is not None:
                raise _broken(revision, "its part of the chain goes on after its weights")
            if "weights" in record:
                weights = record
                continue
            step += 1
            if record["step"] != step:
                raise _broken(revision, f"step {record['step']} stands where step {step} belongs")
            if batches is not None and batch_sha256(batches.rows(step - 1)) != record["batch"]:
                raise _broken(revision, f"step {step} did not learn from the batch that the manifest gives")
    if weights is None or (weights["step"], about["step"]) != (step, step):
        raise _broken(revision, f"its part of the chain ends at step {step}, not with its weights")
    if weights["weights"] != sha256_file(revision / WEIGHTS):
        raise _broken(revision, f"{WEIGHTS} is not what the chain names")
    if head != about["chainSha256"]:
        raise _broken(revision, "its part of the chain does not give its head")
    return head, step


def _broken(revision: Path, what: str) -> Refused:
    return Refused("proof-broken", f"{revision.name}: {what}", "folder")
