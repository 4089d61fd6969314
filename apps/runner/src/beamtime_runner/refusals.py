"""How a runner stops: exit codes, and the exceptions that carry one clear line to the event `failed`."""

from __future__ import annotations

import errno

EXIT_DONE = 0
EXIT_CRASHED = 1
EXIT_BAD_INPUT = 2
EXIT_REQUEUE = 75  # EX_TEMPFAIL: state was saved, run the same job again


class Refused(Exception):
    """The job cannot go on for a reason that a person can mend; `code` is stable, `field` names the input."""

    def __init__(self, code: str, detail: str, field: str | None = None, exit_code: int = EXIT_BAD_INPUT):
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.exit_code = exit_code


class Interrupted(Exception):
    """A signal asked the process to stop; `step` is what the resumable state written last stands at."""

    def __init__(self, signal_name: str, step: int | None = None):
        super().__init__(signal_name)
        self.signal_name = signal_name
        self.step = step


def refusal_of_full_disk(error: Exception, doing: str) -> Refused | None:
    """A full disk or quota as a refusal: the job is sound and may run where there is room (exit code 1)."""
    full = (errno.ENOSPC, errno.EDQUOT)
    # safetensors writes in Rust and tells of the number only in its text.
    if getattr(error, "errno", None) in full or any(f"(os error {number})" in str(error) for number in full):
        return Refused("disk-full", f"no space left while {doing}", exit_code=EXIT_CRASHED)
    return None
