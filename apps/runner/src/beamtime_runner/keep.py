"""What a run keeps while it trains: checkpoints, resumable states and the chain of steps.

The loop only copies tensors in memory; a thread of its own writes, hashes and syncs them, in order, while the next
steps are computed. The chain lives in that thread too, because a checkpoint's hash stands in it before later steps.
Events name what is on disk, never what is on its way.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .chain import StepChain
from .checkpoint import (
    CHAIN,
    OPTIMISER,
    CheckpointFormat,
    Resumable,
    Snapshot,
    drop_older_resumables,
    sha256_of,
    write_checkpoint,
    write_resumable,
)
from .data import MANIFEST, Data
from .durable import Background, sha256_file, sweep
from .events import Events
from .refusals import Refused

STEPS_PER_LINK = 512  # handed to the chain at once: a thread's turn costs more than a line of it

Record = tuple[int, str, float, float]  # step, sha256 of its batch, loss, norm of the gradient


class Keeper:
    """Keeps what one run leaves behind; of a team of processes only the first `leads`, the others keep nothing."""

    def __init__(self, workdir: Path, events: Events, data: Data, model: Any, optimiser: Any, leads: bool):
        self._workdir, self._events, self._data, self._leads = workdir, events, data, leads
        self._model, self._optimiser = model, optimiser
        self._background = Background()
        self._records: list[Record] = []
        self.chain = StepChain(workdir / CHAIN if leads else Path(os.devnull))
        self.weights_sha256: str | None = None
        self.optimiser_sha256: str | None = None
        if leads:
            for name in ("checkpoints", "resumable"):
                sweep(workdir / name)
            self._form = CheckpointFormat(model)

    def continue_from(self, found: Resumable) -> None:
        path = self._workdir / CHAIN if self._leads else Path(os.devnull)
        self.chain = StepChain(path, found.folder / CHAIN)
        if self.chain.head != found.state["chainSha256"]:
            raise Refused("resume-mismatch", "the chain of steps in the state to resume does not give its head")
        self.weights_sha256 = found.state["weightsSha256"]
        self.optimiser_sha256 = sha256_file(found.folder / OPTIMISER)

    def record(self, record: Record) -> None:
        if not self._leads:
            return
        self._records.append(record)
        if len(self._records) >= STEPS_PER_LINK:
            records = self._take_records()
            self._background.do(lambda: self._link(records))

    def _take_records(self) -> list[Record]:
        records, self._records = self._records, []
        return records

    def _link(self, records: list[Record]) -> None:
        for record in records:
            self.chain.step(*record)

    def checkpoint(self, step: int, about: dict[str, Any]) -> None:
        """Keeps the weights of this step as the revision `step<n>`, and says so once it is on disk."""
        if not self._leads:
            return
        records, snapshot, revision = self._take_records(), Snapshot(self._model), f"step{step}"

        def work() -> None:
            self._link(records)
            folder = self._workdir / "checkpoints" / revision
            tokenizer, manifest = self._data.tokenizer_folder, self._workdir / MANIFEST
            more = {"manifestSha256": self._data.manifest_sha256}
            files = write_checkpoint(folder, self._form, snapshot, self.chain, tokenizer, manifest, about | more)
            self.weights_sha256 = sha256_of(files, "model.safetensors")
            self._events.emit(
                "checkpoint",
                step=step,
                revision=revision,
                dir=f"checkpoints/{revision}",
                files=files,
                tokensSeen=about["tokensSeen"],
                bytesSeen=about["bytesSeen"],
                loss=about["loss"],
                weightsSha256=self.weights_sha256,
                chainSha256=self.chain.head,
            )

        self._background.do(work)

    def resumable(self, step: int, state: dict[str, Any]) -> None:
        """Keeps all that is needed to go on from this step elsewhere."""
        if not self._leads:
            return
        records, snapshot = self._take_records(), Snapshot(self._model, self._optimiser)

        def work() -> None:
            self._link(records)
            folder = self._workdir / "resumable" / f"step{step}"
            whole = {**state, "weightsSha256": self.weights_sha256}
            files = write_resumable(folder, snapshot, self.chain, self._data.tokenizer_folder, whole)
            self.optimiser_sha256 = sha256_of(files, OPTIMISER)
            self._events.emit(
                "resumable", step=step, dir=f"resumable/step{step}", files=files, chainSha256=self.chain.head
            )
            drop_older_resumables(folder.parent)

        self._background.do(work)

    def settle(self) -> None:
        """Waits until all that was asked for is on disk."""
        self._background.settle()

    def publish_chain(self) -> None:
        """The whole chain as an artifact, at the end."""
        self.settle()
        self._link(self._take_records())
        proof = self._workdir / "proof" / CHAIN
        proof.parent.mkdir(exist_ok=True)
        self.chain.copy_to(proof)
        self._events.emit(
            "artifact",
            name="step-chain",
            path=f"proof/{CHAIN}",
            bytes=proof.stat().st_size,
            sha256=sha256_file(proof),
            mediaType="application/jsonl",
        )
