"""The command line. Heavy imports wait until a job needs them, so that --help and a refusal are quick."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from pathlib import Path

from . import __version__, environment
from .events import Events
from .interruption import Interruption
from .job import read_job
from .refusals import (
    EXIT_BAD_INPUT,
    EXIT_CRASHED,
    EXIT_DONE,
    EXIT_REQUEUE,
    Interrupted,
    Refused,
    refusal_of_full_disk,
)
from .team import Team

DESCRIPTION = """\
Runs one job of Beamtime in one folder: trains a model, serves it, reads its internals, or evaluates it.

The job file says what to do; its schema is schemas/job.json in this package (or --schema). Every path in it is
relative to the workdir, every result is written below the workdir, and every event is one line of JSON on
stdout and in WORKDIR/events.jsonl. Logs go to stderr."""

EPILOGUE = """\
examples:
  python -m beamtime_runner train --job job.json --workdir /scratch/run1
      Checkpoints appear as checkpoints/step0, step1, step2, step4 …, each a folder for from_pretrained.
      Kill it at any moment and run the same command again: the weights come out the same, bit for bit.
      To go on in another folder, put the inputs there and the newest resumable/step… folder as resume/.
  BEAMTIME_SERVE_TOKEN=secret python -m beamtime_runner serve --job job.json --workdir DIR
      Event "ready" names the port.
  torchrun --nproc-per-node 8 -m beamtime_runner train --job job.json --workdir DIR
      Eight processes, a GPU each, share every batch.
  python -m beamtime_runner verify DIR/checkpoints --shards DIR/data
      Follows the chain of steps through all revisions and computes the batch of every step again.
  sbatch --signal=USR1@90 --requeue …
      On USR1, TERM or INT train saves its state and exits with 75.

exit codes:
  0  done
  1  crashed, or the disk is full: another machine may fare better
  2  the job or an input is wrong; one line on stderr and the event "failed" name the field
  75 interrupted with its state saved: run the same job again

environment:
  BEAMTIME_SERVE_TOKEN=…         bearer token that serve demands
  BEAMTIME_GPU_MEMORY_FRACTION=… so much of the GPU's memory at most, above 0 and up to 1: the rest is others'
  BEAMTIME_EXIT_WITH_PARENT=1    stop, with the state saved, when the process that started this one is gone
"""

COMMANDS = {
    "train": "train a model from text, or go on with a run that was cut off",
    "serve": "answer completions, surprisal and captures over HTTP until told to stop",
    "capture": "write activations of given texts as safetensors",
    "evaluate": "bits per byte, head scores and minimal pairs over all revisions",
}

VERIFY = "check the hash chain of steps that is published with a model's revisions"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "beamtime_runner",
        description=DESCRIPTION,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of the job file and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
        command.add_argument("--job", type=Path, required=True, metavar="JOB.json", help="the job file")
        command.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="inputs and results")
    check = commands.add_parser("verify", help=VERIFY, description=VERIFY.capitalize() + ".")
    check.add_argument("folder", type=Path, metavar="DIR", help="holds the revisions step0, step1 …, of a run or a hub")
    check.add_argument("--shards", type=Path, metavar="DATA", help="the folder data/ of a run on the same texts")
    options = parser.parse_args(argv)
    if options.schema:
        sys.stdout.write((Path(__file__).parent / "schemas" / "job.json").read_text(encoding="utf-8"))
        return EXIT_DONE
    if options.command is None:
        parser.print_help()
        return EXIT_BAD_INPUT
    if options.command == "verify":
        return run_verify(options.folder, options.shards)
    return run(options.command, options.job, options.workdir)


def run_verify(folder: Path, shards: Path | None) -> int:
    from .verify import verify

    try:
        verify(folder, shards)
        return EXIT_DONE
    except Refused as refused:
        print(f"not proven: {refused.detail}", file=sys.stderr)
        return refused.exit_code


def run(command: str, job_path: Path, workdir: Path) -> int:
    """Runs one job and says how it ended, in an event and by the exit code."""
    interruption = Interruption()
    try:
        job = read_job(job_path, command)
        if not workdir.is_dir():
            raise Refused("bad-workdir", f"the workdir {workdir} is not a folder")
        events = Events(workdir, job["jobId"], job["attempt"], silent=not Team.of_environment().leads)
    except Refused as refused:
        print(f"refused: {refused.detail}", file=sys.stderr)
        return refused.exit_code
    try:
        import os

        events.emit("started", job=command, pid=os.getpid(), environment=environment.describe())
        getattr(importlib.import_module(f".{command}", __package__), command)(job, workdir, events, interruption)
        return EXIT_DONE
    except Interrupted as interrupted:
        events.emit("interrupted", signal=interrupted.signal_name, step=interrupted.step)
        return EXIT_REQUEUE
    except Refused as refused:
        return _fail(events, refused)
    except Exception as error:
        return _fail(events, refusal_of_full_disk(error, "writing") or _crash(error))


def _fail(events: Events, refused: Refused) -> int:
    print(f"failed: {refused.detail}", file=sys.stderr)
    events.emit("failed", code=refused.code, detail=refused.detail, field=refused.field or ...)
    return refused.exit_code


def _crash(error: Exception) -> Refused:
    traceback.print_exception(error)
    return Refused("crashed", f"{type(error).__name__}: {error}"[:500], exit_code=EXIT_CRASHED)


if __name__ == "__main__":
    sys.exit(main())
