"""Trains one model, step by step, so that a run cut off anywhere ends with the bits of one that was not.

What makes that so: the batch, the masks and the random numbers of a step are functions of the step's number;
weights, moments and the chain of steps are saved whole; everything else is computed again from the inputs.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NoReturn

from . import environment
from .batches import batch_sha256
from .checkpoint import TOKENIZER, check_same_run, find_resumable, restore
from .corpus import MASK
from .data import Data, prepare_data, read_data
from .events import Events
from .interruption import Interruption
from .keep import Keeper
from .models import build_config, build_model, check_shape, flops_per_token, resolved_shape
from .refusals import Interrupted, Refused
from .schedules import checkpoint_steps, learning_rate, resolve_training
from .team import GradientSum, Team, halvings

RESUMABLE_SECONDS_MIN = 3.0  # between two, unless the job says how often: small models step fast, disks do not
BYTE_VOCABULARY = 258
LOSSES_HELD_ON_DEVICE = 16  # on a GPU, steps between two waits for the loss; on a CPU the loss is already here


def train(job: dict[str, Any], workdir: Path, events: Events, interruption: Interruption) -> None:
    """Runs a job of kind train to its end, or raises `Refused` or `Interrupted`."""
    runtime = environment.resolve_runtime(job.get("runtime", {}))
    team = Team.of_environment(job.get("seats"))
    _check_team(job, team)
    found, faults = find_resumable(workdir)
    for fault in faults:
        events.emit("warning", code="checkpoint-torn", detail=f"{fault}; continuing from an earlier state")
    device = environment.start_torch(runtime)
    check_shape(job["model"], job["tokenizer"].get("vocabSize", BYTE_VOCABULARY))
    if team.size > 1:
        team.join(device)
    if team.leads:
        data = prepare_data(job, workdir, events, interruption, found.folder / TOKENIZER if found else None)
        team.wait()
    else:
        team.wait()
        data = read_data(workdir)
    run = Run(job, workdir, events, interruption, data, runtime, team)
    run.announce()
    if found is not None:
        check_same_run(found, run.fingerprint())
        restore(found, run.model, run.optimiser)
        run.continue_from(found)
    try:
        run.to_the_end()
    finally:
        run.keeper.settle()  # what was on its way to disk is kept, and told of, also when the run fails
    team.part()


def _check_team(job: dict[str, Any], team: Team) -> None:
    rows = job["training"].get("microBatchSequences", job["training"]["batchSequences"])
    whole = job["training"]["batchSequences"]
    if whole % team.seats != 0 or (whole // team.seats) % min(rows, whole // team.seats) != 0:
        detail = f"training.batchSequences: {whole} cannot be shared by {team.seats} processes"
        raise Refused("bad-job", detail, "training.batchSequences")
    if team.size not in halvings(team.seats):
        able = ", ".join(str(size) for size in halvings(team.seats))
        raise Refused("bad-job", f"seats: {team.seats} can be taken by {able} processes, not by {team.size}", "seats")


class Run:
    """One training run in this process."""

    def __init__(
        self,
        job: dict[str, Any],
        workdir: Path,
        events: Events,
        interruption: Interruption,
        data: Data,
        runtime: dict[str, Any],
        team: Team,
    ):
        self.job, self.workdir, self.events, self.interruption, self.data = (
            job,
            workdir,
            events,
            interruption,
            data,
        )
        self.runtime = runtime
        self.training = resolve_training(job["training"], job["model"]["family"])
        checkpoints = job.get("checkpoints", {})
        self.steps: int = self.training["steps"]
        self.checkpoint_steps = checkpoint_steps(checkpoints.get("schedule", "log2"), self.steps)
        self.resume_every: int = checkpoints.get("resumeEverySteps", max(10, math.ceil(self.steps / 20)))
        self.team = team
        self.device = environment.start_torch(runtime)
        if self.device.type == "cpu":
            environment.keep_freed_memory()
        if team.size > 1 and self.device.type == "cuda":
            self.device = type(self.device)("cuda", team.local_rank)
        vocabulary = data.tokenizer.get_vocab_size()
        config = build_config(job["model"], vocabulary, data.tokenizer.token_to_id("<|endoftext|>"))
        self.model = build_model(config, job["seeds"]["initialisation"]).to(self.device)
        self.model.train()
        self.parameters = list(self.model.parameters())
        from .objectives import build_objective, build_optimiser  # brings torch

        self.optimiser = build_optimiser(self.model, self.training)
        mask = data.tokenizer.token_to_id(MASK)
        self.objective = build_objective(job, self.model, self.training, mask, runtime, self.device)
        self.tokens_per_step = self.training["batchSequences"] * job["model"]["contextTokens"]
        self.flops_per_token = flops_per_token(self.model, job["model"]["contextTokens"])
        self.keeper = Keeper(workdir, events, data, self.model, self.optimiser, team.leads)
        self.resumable_seconds_min = 0.0 if "resumeEverySteps" in checkpoints else RESUMABLE_SECONDS_MIN
        self.resumable_at = time.monotonic()
        self.first_step = 0
        self.loss: float | None = None
        self.started = time.monotonic()
        self._unreported: list[tuple[int, float]] = []
        self._reported_at = (time.monotonic(), 0)
        self._pending: list[tuple[int, str, Any, Any]] = []
        self._pending_max = 1 if self.device.type == "cpu" else LOSSES_HELD_ON_DEVICE

    # ------------------------------------------------------------ what this run is

    def announce(self) -> None:
        """The event `resolved`: what the run uses, read back from what was built."""
        batches, steps = self.data.batches, self.steps
        drawn = batches.order.drawn(steps * batches.batch_sequences)
        corpora = [
            {
                "id": corpus.id,
                "language": corpus.language,
                "script": corpus.script,
                "sha256": corpus.sha256,
                "bytes": corpus.text_bytes,
                "tokens": corpus.tokens,
                "windows": windows,
                "share": slots / sum(batches.order.slots),
                "epochs": count / windows,
            }
            for corpus, windows, slots, count in zip(
                batches.corpora, batches.order.windows, batches.order.slots, drawn, strict=True
            )
        ]
        self.events.emit(
            "resolved",
            model=resolved_shape(self.job["model"], self.model),
            tokenizer={
                "kind": self.job["tokenizer"]["kind"],
                "sha256": self.data.tokenizer_sha256,
                "vocabSize": self.model.config.vocab_size,
            },
            data={
                "manifestSha256": self.data.manifest_sha256,
                "corpora": corpora,
                "tokens": steps * self.tokens_per_step,
            },
            seeds=self.job["seeds"],
            training=self.training,
            checkpoints={"steps": self.checkpoint_steps, "resumeEverySteps": self.resume_every},
            runtime=self.runtime,
            seats=self.team.seats if self.team.seats > 1 else ...,
            environment=self._environment(),
            flops=self.flops_per_token * steps * self.tokens_per_step,
        )

    def _environment(self) -> dict[str, Any]:
        name = environment.device_name(self.device)
        return environment.describe(name, self.runtime["threads"], self.team.size)

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the bits of the run; a state made with another is not continued."""
        return {
            "model": self.job["model"],
            "tokenizer": self.data.tokenizer_sha256,
            "data": self.data.manifest_sha256,
            "seeds": self.job["seeds"],
            "training": self.training,
            "checkpoints": self.checkpoint_steps,
            "runtime.threads": self.runtime["threads"],
            "processes": self.team.seats,  # who takes the seats decides nothing
        }

    def continue_from(self, found: Any) -> None:
        self.keeper.continue_from(found)
        self.first_step, self.loss = found.step, found.state["loss"]
        here = self._environment()
        for name in ("torch", "device"):
            if found.state["environment"][name] != here[name]:
                detail = (
                    f"{name} was {found.state['environment'][name]} and is {here[name]}: bits may differ from here on"
                )
                self.events.emit("warning", code="environment-changed", detail=detail)
        self.events.emit("resumed", fromStep=found.step, chainSha256=self.keeper.chain.head)

    # ------------------------------------------------------------ the loop

    def to_the_end(self) -> None:
        batches, due = self.data.batches, set(self.checkpoint_steps)
        if self.first_step == 0 and 0 in due:
            self._checkpoint(0)
        self.started = time.monotonic()
        self._reported_at = (self.started, self.first_step)
        for step in range(self.first_step, self.steps):
            rate = learning_rate(step, self.training)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            rows = batches.rows(step)
            learned = self._learn(step, rows)
            if learned is None:
                self._leave(step)
            loss, norm, asked = learned
            self._pending.append((step + 1, batch_sha256(rows), loss, norm))
            if len(self._pending) >= self._pending_max:
                self._settle()
            if self.events.progress_due():
                self._report(step + 1)
            if step + 1 in due:
                self._checkpoint(step + 1)
            if asked or self._resumable_due(step + 1):
                self._resumable(step + 1)
            if asked and step + 1 < self.steps:
                self._stop_after(step + 1)
        self._finish()

    def _stop_after(self, step: int) -> NoReturn:
        self._report(step)
        self.keeper.settle()
        raise Interrupted(self.interruption.signal_name or "", step)

    def _leave(self, step: int) -> NoReturn:
        """Stops in the middle of a step, of which nothing is kept."""
        if step > self.first_step:
            self._resumable(step)
        self._stop_after(step)

    def _learn(self, step: int, rows: Any) -> tuple[Any, Any, bool] | None:
        """
        One step of the optimiser on these rows: loss and gradient norm, on the device, and whether to stop. None when
        it was to stop between two seats: with few processes a step takes long, and whoever asks does not wait for it.
        """
        import torch

        if self.team.seats == 1:
            total = self._learn_as(0, step, rows)
            asked = self.interruption.asked(self.events)
        else:
            gradients = GradientSum(self.team, self.parameters)
            for seat in self.team.seats_here:
                total = self._learn_as(seat, step, rows)
                asked = self.interruption.asked(self.events)
                gradients.take(total, asked)
                if seat != self.team.seats_here[-1] and self.team.agree_to_stop(asked, self.device):
                    return None
            total, asked = gradients.average()
        clip = self.training["gradientClip"] or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total, norm, asked

    def _learn_as(self, seat: int, step: int, rows: Any) -> Any:
        """The gradients of a seat's rows go into the parameters; returns its mean loss, on the device."""
        import torch

        seed = (self.job["seeds"]["dataOrder"] * 1_000_003 + step) * self.team.seats + seat
        torch.manual_seed(seed)  # for options that bring dropout
        mine = self.team.share(len(rows), seat)
        micro = min(self.training["microBatchSequences"], len(mine))
        total = None
        for first in range(mine.start, mine.stop, micro):
            loss = self.objective(step, rows[first : first + micro], first) * (micro / len(mine))
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        return total

    def _settle(self) -> None:
        """Waits for the losses of the steps computed, checks them, and links them into the chain."""
        for step, batch, loss_on_device, norm in self._pending:
            loss, gradient_norm = float(loss_on_device), float(norm)
            for what, value in (("loss", loss), ("gradient's norm", gradient_norm)):
                if not math.isfinite(value):
                    detail = f"the {what} at step {step} is {value}; the last good state stands"
                    raise Refused("loss-not-finite", detail, "training.learningRate")
            self.keeper.record((step, batch, loss, gradient_norm))
            self._unreported.append((step, loss))
            self.loss = loss
        self._pending.clear()

    def _report(self, step: int) -> None:
        self._settle()
        now, (then, reported) = time.monotonic(), self._reported_at
        rate = (step - reported) * self.tokens_per_step / max(1e-9, now - then)
        self._reported_at = (now, step)
        peak = environment.peak_flops(self.device)
        self.events.progress(
            "train",
            step / self.steps,
            step=step,
            loss=self.loss if self.loss is not None else ...,
            losses=self._unreported,
            tokensPerSecond=rate,
            tokensSeen=step * self.tokens_per_step,
            bytesSeen=self.data.batches.bytes_seen(step),
            remainingSeconds=(self.steps - step) * self.tokens_per_step / max(rate, 1e-9),
            modelFlopsUtilisation=rate * self.flops_per_token / peak if peak else ...,
        )
        self._unreported = []

    # ------------------------------------------------------------ what is kept

    def _checkpoint(self, step: int) -> None:
        self._settle()
        about = {
            "step": step,
            "tokensSeen": step * self.tokens_per_step,
            "bytesSeen": self.data.batches.bytes_seen(step),
            "loss": self.loss,
            "seeds": self.job["seeds"],
        }
        self.keeper.checkpoint(step, about)

    def _resumable_due(self, step: int) -> bool:
        rested = time.monotonic() - self.resumable_at >= self.resumable_seconds_min
        return step == self.steps or (step % self.resume_every == 0 and rested)

    def _resumable(self, step: int) -> None:
        self.resumable_at = time.monotonic()
        self._settle()
        state = {"step": step, "loss": self.loss, "fingerprint": self.fingerprint()}
        self.keeper.resumable(step, state | {"environment": self._environment()})

    def _finish(self) -> None:
        self._settle()
        if not self.team.leads:
            return
        self.keeper.settle()
        wall = time.monotonic() - self.started
        if self._unreported:
            self._report(self.steps)
        self.keeper.publish_chain()
        rate = (self.steps - self.first_step) * self.tokens_per_step / max(1e-9, wall)
        peak = environment.peak_flops(self.device)
        self.events.emit(
            "done",
            wallSeconds=wall,
            deviceSeconds=wall * self.team.size,
            peakMemoryBytes=environment.peak_memory_bytes(),
            step=self.steps,
            weightsSha256=self.keeper.weights_sha256,
            optimiserSha256=self.keeper.optimiser_sha256,
            chainSha256=self.keeper.chain.head,
            tokensPerSecond=rate,
            modelFlopsUtilisation=rate * self.flops_per_token / peak if peak else ...,
        )
