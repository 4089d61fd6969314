"""A capture job: the activations of given texts, one safetensors file per revision and text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import environment
from .durable import sha256_file, write_file
from .events import Events
from .interruption import Interruption
from .refusals import Refused
from .revisions import Loaded, Revisions


def capture_bytes(plan: Any) -> bytes:
    """Runs the plan; the file's metadata holds the receipt and the tokens, so it explains itself."""
    from safetensors.torch import save

    from .sites import run_capture

    loaded: Loaded = plan.loaded
    metadata = {
        "format": "pt",
        "receipt": json.dumps(loaded.receipt()),
        "tokenIds": json.dumps(plan.ids),
        "tokens": json.dumps([loaded.text.name(number) for number in plan.ids]),
        "positions": json.dumps(plan.positions if plan.positions is not None else list(range(len(plan.ids)))),
    }
    return save(run_capture(plan), metadata)


def capture(job: dict[str, Any], workdir: Path, events: Events, interruption: Interruption) -> None:
    """Runs a job of kind capture; everything is measured before anything is run."""
    runtime = environment.resolve_runtime(job.get("runtime", {}))
    device = environment.start_torch(runtime)
    import time

    from .sites import plan_capture

    started = time.monotonic()
    revisions = Revisions(job["revisions"], workdir, device, "float32", loaded_max=1)
    names = [entry["revision"] for entry in job["revisions"]]
    first = revisions.get(names[0])
    total = len(names) * sum(plan_capture(first, job, source).activation_bytes for source in job["inputs"])
    if total > job.get("bytesMax", total):
        detail = f"bytesMax: the captures come to {total} bytes, and {job['bytesMax']} are allowed"
        raise Refused("too-large", detail, "bytesMax")
    done, count = 0, len(names) * len(job["inputs"])
    for name in names:
        loaded = revisions.get(name)
        for source in job["inputs"]:
            interruption.stop_if_asked(events)
            path = f"captures/{name}/{source['id']}.safetensors"
            data = capture_bytes(plan_capture(loaded, job, source))
            write_file(workdir / path, data)
            events.emit(
                "artifact",
                name=source["id"],
                path=path,
                bytes=len(data),
                sha256=sha256_file(workdir / path),
                mediaType="application/vnd.safetensors",
                revision=name,
                input=source["id"],
            )
            done += 1
            if events.progress_due():
                events.progress("capture", done / count)
    wall = time.monotonic() - started
    events.emit("done", wallSeconds=wall, deviceSeconds=wall, peakMemoryBytes=environment.peak_memory_bytes())
