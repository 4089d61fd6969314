"""The hash chain of steps: what each step learnt from, its loss and its gradient's norm, and each checkpoint's weights.

Each record is a line of JSON; the head after it is sha256(previous head + the line). Two runs with the same head
went through the same steps. Numbers are written as hexadecimal floats, so the text holds every bit.

Every checkpoint carries the part since the one before it, which ends with its own weights; `verify` puts the parts
together again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

GENESIS = hashlib.sha256(b"beamtime.step-chain/1").hexdigest()


def link(head: str, line: str) -> str:
    return hashlib.sha256(f"{head}\n{line}".encode()).hexdigest()


def head_of(lines: Iterable[str], before: str = GENESIS) -> str:
    """Recomputes the head after these lines, from the head before them: by default those of a whole chain."""
    head = before
    for line in lines:
        head = link(head, line.rstrip("\n"))
    return head


class StepChain:
    """A chain in the making, in a file: memory does not grow with the steps."""

    def __init__(self, path: Path, restored: Path | None = None):
        self.head = GENESIS
        self.part_before = GENESIS  # head where the part since the last checkpoint begins
        self._part_at = self._size = 0
        self._file = path.open("w", encoding="utf-8")
        if restored is not None:
            with restored.open(encoding="utf-8") as lines:
                for line in lines:
                    self._append(line.rstrip("\n"))
                    if "weights" in json.loads(line):
                        self.end_part()

    def step(self, number: int, batch_sha256: str, loss: float, gradient_norm: float) -> None:
        self._add({"step": number, "batch": batch_sha256, "loss": loss.hex(), "gradientNorm": gradient_norm.hex()})

    def weights(self, number: int, weights_sha256: str) -> None:
        self._add({"step": number, "weights": weights_sha256})

    def _add(self, record: dict[str, object]) -> None:
        self._append(json.dumps(record, separators=(",", ":")))

    def _append(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._size += len(line.encode()) + 1
        self.head = link(self.head, line)

    def copy_part_to(self, path: Path) -> None:
        """Writes the lines since the last `end_part`."""
        self._file.flush()
        with Path(self._file.name).open("rb") as chain, path.open("wb") as part:
            chain.seek(self._part_at)
            shutil.copyfileobj(chain, part)

    def end_part(self) -> None:
        self._part_at, self.part_before = self._size, self.head

    def copy_to(self, path: Path) -> None:
        self._file.flush()
        shutil.copyfile(self._file.name, path)
