"""Tokens per second of the runner against a hand-written loop and HF Trainer, side by side: `npm run bench:training`.

Same model, text, batch, optimiser and threads. Each system trains from scratch in a process of its own; the order
rotates over the rounds. Ratios are taken within a round, so a busy machine disturbs all alike, and given as geometric
means with a 95 % interval (Student's t of the logarithms over the rounds): where it is wide, the machine was noisy.
The time is that of the training loop: building the model is not in it, checkpoints and events of the runner are.

What it costs to keep checkpoints and say events is told twice. Paired: the CPU time of whole runs over that of runs
beside them that keep their last state only. Accounted inside the runner's own run, free of that noise: the CPU time of
every call that keeps or says something, in the loop and in the thread that writes, over that of the whole process; and
by the clock what the loop waited in such calls.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
MESSAGES = ROOT / "node_modules/typescript/lib/de/diagnosticMessages.generated.json"
SYSTEMS = ["runner", "runner-loop-only", "plain", "trainer"]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="gpt-neox")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoints", default="pythia", choices=["pythia", "log2"], help="schedule of the runner")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--corpus", type=Path, help="a UTF-8 text; by default TypeScript's German messages")
    parser.add_argument("--out", type=Path, default=ROOT / ".beamtime/bench/training.json")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="these systems, runner among them")
    parser.add_argument("--one", choices=SYSTEMS, help=argparse.SUPPRESS)
    return parser.parse_args()


def job_of(choice: argparse.Namespace, system: str) -> dict[str, Any]:
    steps = choice.steps
    quiet = {"schedule": [steps], "resumeEverySteps": steps}
    return {
        "schema": "beamtime.runner-job/1",
        "kind": "train",
        "jobId": "job_bench",
        "attempt": 1,
        "model": {
            "family": choice.family,
            "hiddenSize": choice.hidden,
            "layers": choice.layers,
            "contextTokens": choice.context,
            **({} if choice.family == "mamba" else {"heads": choice.heads}),
        },
        "tokenizer": {"kind": "bpe", "vocabSize": choice.vocabulary},
        "data": {"corpora": [{"id": "text", "path": "text.txt", "language": "deu", "script": "Latn"}]},
        "seeds": {"initialisation": 1, "dataOrder": 1},
        "training": {
            "steps": steps,
            "batchSequences": choice.batch,
            "learningRate": 1e-3,
            "dtype": choice.dtype,
        },
        "checkpoints": {"schedule": choice.checkpoints} if system == "runner" else quiet,
        "runtime": {
            "threads": choice.threads,
            "device": choice.device,
            "compile": choice.compile,
            "deterministic": choice.device == "cpu" or not choice.compile,
        },
    }


class _NeverAsked:
    signal_name = None

    def asked(self, _events: Any) -> bool:
        return False

    def stop_if_asked(self, _events: Any) -> None:
        return None


class Account:
    """Time in the calls that keep or say something: of the CPU in every thread, by the clock in the loop's alone."""

    def __init__(self) -> None:
        self.cpu = self.loop_wall = 0.0
        self._inside = threading.local()
        self._loop = threading.get_ident()

    def watch(self, call: Any) -> Any:
        def watched(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "yes", False):  # counted by the call around it
                return call(*arguments, **named)
            self._inside.yes, cpu, wall = True, time.thread_time(), time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self._inside.yes = False
                self.cpu += time.thread_time() - cpu
                if threading.get_ident() == self._loop:
                    self.loop_wall += time.perf_counter() - wall

        return watched

    def attach(self) -> None:
        """Watches checkpoints, resumable states, events, the chain and its hashes, wherever they are called."""
        from beamtime_runner import train
        from beamtime_runner.durable import Background
        from beamtime_runner.keep import Keeper

        for name in ("checkpoint", "resumable", "record", "settle", "publish_chain"):
            setattr(Keeper, name, self.watch(getattr(Keeper, name)))
        for name in ("_report", "_checkpoint", "_resumable"):
            setattr(train.Run, name, self.watch(getattr(train.Run, name)))
        train.batch_sha256 = self.watch(train.batch_sha256)
        do = Background.do
        Background.do = lambda this, work, *rest: do(this, self.watch(work), *rest)


def measure(choice: argparse.Namespace, system: str) -> dict[str, float]:
    """Runs one system in this process."""
    os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    from beamtime_runner import environment
    from beamtime_runner.data import prepare_data
    from beamtime_runner.events import Events
    from beamtime_runner.models import build_config, build_model, flops_per_token
    from beamtime_runner.team import Team
    from beamtime_runner.train import Run

    job = job_of(choice, system)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        workdir = Path(folder)
        (workdir / "text.txt").write_text(corpus_text(choice), encoding="utf-8")
        events, never = Events(workdir, "job_bench", 1), _NeverAsked()
        data = prepare_data(job, workdir, events, never, None)  # type: ignore[arg-type]
        runtime = environment.resolve_runtime(job["runtime"])
        account = Account()
        if system.startswith("runner"):
            account.attach()
            run = Run(job, workdir, events, never, data, runtime, Team.of_environment())  # type: ignore[arg-type]
            train: Any = run.to_the_end
            device = run.device
        else:  # nothing of the runner's but the data
            import references

            device = environment.start_torch(runtime)
            corpus = data.batches.corpora[0]
            arguments = (job, corpus.read(0, corpus.tokens), data.tokenizer.get_vocab_size(), device)
            train = lambda: references.plain_loop(*arguments)
            if system == "trainer":
                train = references.hf_trainer(*arguments, workdir / "trainer")
        wall, cpu = time.perf_counter(), time.process_time()
        train()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        model = build_model(build_config(job["model"], data.tokenizer.get_vocab_size(), 0), 1)
    tokens = choice.steps * choice.batch * choice.context
    name, peak = environment.device_name(device), environment.peak_flops(device)
    row: dict[str, Any] = {"tokensPerSecond": tokens / wall, "tokensPerCpuSecond": tokens / cpu, "device": name}
    if system.startswith("runner"):
        row |= {"keepingShareOfCpu": account.cpu / cpu, "keepingShareOfClock": account.loop_wall / wall}
    if peak:
        row["modelFlopsUtilisation"] = flops_per_token(model, choice.context) * tokens / wall / peak
    return row


def corpus_text(choice: argparse.Namespace) -> str:
    if choice.corpus:
        return choice.corpus.read_text(encoding="utf-8")
    return "\n".join(json.loads(MESSAGES.read_text(encoding="utf-8")).values())


def main() -> None:
    choice = options()
    if choice.one:
        sys.path.insert(0, str(Path(__file__).parent))
        print(json.dumps(measure(choice, choice.one)))
        return
    wanted = [name for name in SYSTEMS if name in choice.only or name == "runner"]
    systems = [name for name in wanted if name != "trainer" or importlib.util.find_spec("accelerate")]
    if systems != wanted:
        print("HF Trainer is left out: pip install -e 'apps/runner[bench]' brings what it needs")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    for number in range(choice.rounds):
        for name in systems[number % len(systems) :] + systems[: number % len(systems)]:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"round {number + 1}  {name:18} {rows[name][-1]['tokensPerSecond']:10.0f} tokens/s", flush=True)
    report(choice, rows)


# Student's t, two sides of 95 %, by degrees of freedom; beyond the table it is below the last by less than a tenth.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def paired(mine: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Geometric mean of the ratios of neighbours, and its 95 % interval; without end when there is one pair only."""
    logs = [math.log(a / b) for a, b in zip(mine, theirs, strict=True)]
    mean, pairs = statistics.fmean(logs), len(logs)
    if pairs < 2:
        return math.exp(mean), 0.0, math.inf
    reach = _T95[min(pairs - 1, len(_T95)) - 1] * statistics.stdev(logs) / math.sqrt(pairs)
    return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)


def report(choice: argparse.Namespace, rows: dict[str, list[dict[str, Any]]]) -> None:
    from importlib.metadata import version

    def ratio(name: str, key: str) -> tuple[float, float, float]:
        return paired([row[key] for row in rows["runner"]], [row[key] for row in rows[name]])

    print(f"\n{'':18} {'tokens/s':>10} {'per CPU s':>10}  {'runner is, by the clock':24}  {'by CPU':24}")
    for name, runs in rows.items():
        wall, cpu = (statistics.median(run[key] for run in runs) for key in ("tokensPerSecond", "tokensPerCpuSecond"))
        compared = [
            "" if name == "runner" else "{:.3f}× ({:.3f} to {:.3f})".format(*ratio(name, key))
            for key in ("tokensPerSecond", "tokensPerCpuSecond")
        ]
        print(f"{name:18} {wall:10.0f} {cpu:10.0f}  {compared[0]:24}  {compared[1]:24}")
    if "runner-loop-only" in rows:
        # More time for the same tokens: the ratio the other way round.
        value, low, high = (
            1 / part - 1 if part else math.inf for part in ratio("runner-loop-only", "tokensPerCpuSecond")
        )
        print(f"\npaired, {choice.rounds} rounds: keeping and saying add {value:.2%} of CPU ({high:.2%} to {low:.2%})")
    cost = [(row["keepingShareOfCpu"], row["keepingShareOfClock"]) for row in rows["runner"]]
    print("\ncheckpoints, resumable states, events and the chain cost the runner, accounted in each of its runs:")
    print("  of its CPU time        " + "  ".join(f"{cpu:.2%}" for cpu, _ in cost))
    print("  of the loop's clock    " + "  ".join(f"{wall:.2%}" for _, wall in cost))
    summary = {
        "torch": version("torch"),
        "transformers": version("transformers"),
        "options": {key: str(value) for key, value in vars(choice).items() if key not in ("one", "out")},
        "ratios": {
            name: {"wall": ratio(name, "tokensPerSecond"), "cpu": ratio(name, "tokensPerCpuSecond")}
            for name in rows
            if name != "runner"
        },
        "rounds": rows,
    }
    choice.out.parent.mkdir(parents=True, exist_ok=True)
    choice.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {choice.out}")


if __name__ == "__main__":
    main()
