"""A corpus far larger than memory should be: `python test/bench/training/bench_tokenise.py --gigabytes 10`.

Writes text to a scratch folder (lines of TypeScript's messages in many languages, drawn anew for every block, so no
two blocks are equal), and gives it to `beamtime_runner train` with two steps of a tiny model. The run is killed with
SIGKILL in the middle of tokenising and started again. Beside it a run over the first 300 MB, undisturbed: its peak
memory is what the large one's is compared with, and as both train their tokenizer on the same beginning, its shards
have to be the first shards of the large run. Prints one row for each run, with its rate per second of CPU and by the
clock and (on Linux) its peak memory until 1, 3 and 10 GB of text were tokenised; removes the scratch folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
MESSAGES = sorted((ROOT / "node_modules/typescript/lib").glob("*/diagnosticMessages.generated.json"))
BASELINE_BYTES = 300_000_000
BLOCK_LINES = 20_000
PEAKS_AT_BYTES = (1_000_000_000, 3_000_000_000, 10_000_000_000)


def write_text(path: Path, size: int) -> None:
    lines = [f"{line}\n" for file in MESSAGES for line in json.loads(file.read_text(encoding="utf-8")).values()]
    draw, left = random.Random(1), size
    with path.open("wb") as file:
        while left > 0:
            block = "".join(draw.choices(lines, k=BLOCK_LINES)).encode()[:left].decode(errors="ignore").encode()
            file.write(block)
            left -= max(1, len(block))


def place_text(text: Path, path: Path, size: int) -> None:
    """The beginning of a text as a file of its own, or the whole of it by a link."""
    if size == text.stat().st_size:
        path.symlink_to(text.resolve())
        return
    with text.open("rb") as source, path.open("wb") as file:  # cut between two characters
        file.write(source.read(size).decode(errors="ignore").encode())


def start(workdir: Path, threads: int) -> subprocess.Popen[str]:
    job = {
        "schema": "beamtime.runner-job/1",
        "kind": "train",
        "jobId": "job_tokenise",
        "attempt": 1,
        "model": {"family": "gpt-neox", "hiddenSize": 32, "layers": 1, "heads": 2, "contextTokens": 128},
        "tokenizer": {"kind": "bpe", "vocabSize": 8192},
        "data": {"corpora": [{"id": "text", "path": "text.txt", "language": "mul", "script": "Zyyy"}]},
        "seeds": {"initialisation": 1, "dataOrder": 1},
        "training": {"steps": 2, "batchSequences": 4, "learningRate": 1e-3},
        "runtime": {"threads": threads},
    }
    (workdir / "job.json").write_text(json.dumps(job))
    command = [
        sys.executable,
        "-m",
        "beamtime_runner",
        "train",
        "--job",
        f"{workdir}/job.json",
        "--workdir",
        str(workdir),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def so_far(pid: int) -> tuple[float, int]:
    """CPU seconds that a running process has used, and its peak memory in MiB; zeros where /proc does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0, 0
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak) // 1024


def follow(workdir: Path, size: int, kill_at: float | None, threads: int) -> dict[str, Any]:
    """Runs until the end, or until this part of the text is tokenised; what was seen on the way."""
    process, phases, progress = start(workdir, threads), {}, 0
    events: list[dict[str, Any]] = []
    peaks: dict[int, int] = {}
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        now = time.monotonic()
        if event["kind"] == "progress":
            progress += 1
            (cpu, peak), fraction = so_far(process.pid), event["fraction"]
            begun = phases.setdefault(event["phase"], [now, now, fraction, fraction, cpu, cpu])
            begun[1], begun[3], begun[5] = now, fraction, cpu
            if event["phase"] == "tokenise":
                for mark in PEAKS_AT_BYTES:
                    if fraction * size >= mark * (1 - 1e-3) and begun[2] * size < mark:
                        peaks.setdefault(mark, peak)
                if kill_at is not None and fraction >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    break
        else:
            events.append(event)
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    begun = phases.get("tokenise", [0, 0, 0, 0, 0, 0])
    return {
        "ended": f"signal {status & 127}" if status & 127 else f"exit code {status >> 8}",
        "peakMiB": usage.ru_maxrss // 1024,
        "peaksMiB": peaks,
        "cpuSeconds": usage.ru_utime + usage.ru_stime,
        "progressLines": progress,
        "seconds": {phase: round(times[1] - times[0], 1) for phase, times in phases.items()},
        "tokenisedBytes": (begun[3] - begun[2]) * size,
        "tokeniseSeconds": begun[1] - begun[0],
        "tokeniseCpuSeconds": begun[5] - begun[4],
        "shards": next((event["shards"] for event in events if event["kind"] == "manifest"), []),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="10^9 bytes; default 1")
    parser.add_argument("--kill-at", type=float, default=0.5, help="part of the text after which SIGKILL is sent")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="where the text goes; by default the folder for temporary files")
    parser.add_argument("--text", type=Path, help="a text that is there already, all of it, instead of one made up")
    choice = parser.parse_args()
    size = choice.text.stat().st_size if choice.text else round(choice.gigabytes * 1e9)
    with tempfile.TemporaryDirectory(dir=choice.scratch, prefix="beamtime-tokenise-") as scratch:
        small, large = Path(scratch) / "small", Path(scratch) / "large"
        rows = {}
        for folder, amount in ((small, min(size, BASELINE_BYTES)), (large, size)):
            folder.mkdir()
            if choice.text:
                place_text(choice.text, folder / "text.txt", amount)
            else:
                write_text(folder / "text.txt", amount)
        rows["undisturbed, the beginning"] = follow(small, min(size, BASELINE_BYTES), None, choice.threads)
        shutil.rmtree(small)
        rows["killed"] = follow(large, size, choice.kill_at, choice.threads)
        kept = {path: path.stat().st_mtime_ns for path in (large / "data/text").glob("*.uint16")}
        rows["started again"] = follow(large, size, None, choice.threads)
        shutil.rmtree(large / "checkpoints", ignore_errors=True)
        again = sum(path.stat().st_mtime_ns != stamp for path, stamp in kept.items())
    for name, row in rows.items():
        clock, cpu = (
            row["tokenisedBytes"] / 1e6 / max(1e-9, row[key]) for key in ("tokeniseSeconds", "tokeniseCpuSeconds")
        )
        peaks = ", ".join(f"{peak} at {mark / 1e9:.0f} GB" for mark, peak in row["peaksMiB"].items())
        print(
            f"{name:28} {row['ended']:12} peak {row['peakMiB']:5} MiB{f' ({peaks})' if peaks else ''}  "
            f"tokenise {cpu:6.2f} MB per CPU second, {clock:6.2f} by the clock  "
            f"CPU {row['cpuSeconds']:7.0f} s  {row['progressLines']} progress lines  {row['seconds']}"
        )
    first, whole = (rows[name]["shards"] for name in ("undisturbed, the beginning", "started again"))
    equal = first[:-1] == whole[: len(first) - 1] and len(whole) > 0
    print(f"{len(kept)} shards survived the kill, {again} of them were written again; {len(whole)} in the end")
    print(f"the first {len(first) - 1} shards equal those of the undisturbed run: {equal}")
    sys.exit(0 if equal and again == 0 and rows["started again"]["ended"] == "exit code 0" else 1)


if __name__ == "__main__":
    main()
