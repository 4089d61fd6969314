"""Event lines: to stdout for whoever listens, and to WORKDIR/events.jsonl for whoever comes later."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .refusals import Refused

PROGRESS_SECONDS = 0.5  # at most two progress lines a second, however fast the steps are


class Events:
    """Writes each event of one process of one attempt; `seq` rises by one from 0."""

    def __init__(self, workdir: Path, job_id: str, attempt: int, silent: bool = False):
        self.head = {"jobId": job_id, "attempt": attempt}
        self.listener_gone = False
        self._silent = silent  # all but the first process of a team
        self._seq = 0
        self._one_at_a_time = threading.Lock()
        self._progress_at = 0.0
        path = Path(os.devnull) if silent else workdir / "events.jsonl"
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise Refused("bad-workdir", f"cannot write to the workdir {workdir}: {error.strerror}") from error

    def emit(self, kind: str, **fields: Any) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        given = {name: value for name, value in fields.items() if value is not ...}
        with self._one_at_a_time:
            event = {"seq": self._seq, "at": at, **self.head, "kind": kind, **given}
            line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
            self._seq += 1
            self._keep(line)
            self._say(line)

    def _keep(self, line: str) -> None:
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:  # a full disk must not silence the line that says so
            print(f"events.jsonl: {error.strerror}", file=sys.stderr)

    def _say(self, line: str) -> None:
        if self.listener_gone or self._silent:
            return
        try:
            sys.stdout.write(line)
            sys.stdout.flush()
        except BrokenPipeError:
            self.listener_gone = True
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the interpreter's last flush

    def progress_due(self) -> bool:
        return time.monotonic() - self._progress_at >= PROGRESS_SECONDS

    def progress(self, phase: str, fraction: float, **fields: Any) -> None:
        self._progress_at = time.monotonic()
        self.emit("progress", phase=phase, fraction=min(1.0, max(0.0, fraction)), **fields)
