"""Signals as a question that the work asks between two steps, never in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from .events import Events
from .refusals import Interrupted

EXIT_WITH_PARENT = "BEAMTIME_EXIT_WITH_PARENT"
_PARENT_POLL_SECONDS = 1.0


class Interruption:
    """USR1 (Slurm's warning), TERM and INT ask the process to save its state and stop.

    So does a listener that closed our stdout, and, with BEAMTIME_EXIT_WITH_PARENT=1, a parent that died:
    nobody would take the result.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self.event = threading.Event()
        for name in ("SIGUSR1", "SIGTERM", "SIGINT"):
            signal.signal(getattr(signal, name), self._on_signal)
        if os.environ.get(EXIT_WITH_PARENT) == "1":
            threading.Thread(target=self._watch_parent, args=(os.getppid(),), daemon=True).start()

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.ask(signal.Signals(number).name)

    def ask(self, name: str) -> None:
        self.signal_name = self.signal_name or name
        self.event.set()

    def _watch_parent(self, parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_SECONDS)
        self.ask("PARENT-GONE")

    def asked(self, events: Events) -> bool:
        if events.listener_gone:
            self.ask("SIGPIPE")
        return self.signal_name is not None

    def stop_if_asked(self, events: Events) -> None:
        """For work that keeps no state of its own beyond files already written."""
        if self.asked(events):
            raise Interrupted(self.signal_name or "")
