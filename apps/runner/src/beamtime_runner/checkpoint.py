"""Two kinds of folders: a checkpoint that from_pretrained loads, and the state from which a run goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .chain import StepChain
from .durable import Draft, Torn, check_folder, place
from .refusals import Refused

WEIGHTS = "model.safetensors"
OPTIMISER = "optimizer.safetensors"
STATE = "state.json"
CHAIN = "chain.jsonl"
TOKENIZER = "tokenizer"
RESUMABLES_KEPT = 2
STATE_SCHEMA = "beamtime.runner-state/1"


def draft_checkpoint(folder: Path, model: Any, tokenizer_folder: Path, about: dict[str, Any]) -> Draft:
    """A folder that plain transformers loads; `about` goes into beamtime.json beside it."""

    def fill(draft: Path) -> None:
        model.save_pretrained(draft, max_shard_size="1000TB")  # one file, whose sha256 is the model's name
        for file in tokenizer_folder.iterdir():
            if file.suffix == ".json":
                place(file, draft / file.name)
        (draft / "beamtime.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    return Draft(folder, fill)


def sha256_of(files: list[dict[str, Any]], name: str) -> str:
    return next(entry["sha256"] for entry in files if entry["path"] == name)


def trained_tensors(model: Any) -> dict[str, Any]:
    """Parameters by name, each once where some are tied."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def draft_resumable(
    folder: Path, model: Any, optimiser: Any, chain: StepChain, tokenizer_folder: Path, state: dict[str, Any]
) -> Draft:
    """All that a fresh workdir needs beside the inputs. Randomness is a function of the step: none to save."""
    from safetensors.torch import save_file

    moments = {}
    for name, parameter in model.named_parameters():
        for key in ("exp_avg", "exp_avg_sq"):
            if parameter in optimiser.state:
                moments[f"{name}.{key}"] = optimiser.state[parameter][key].contiguous()

    def fill(draft: Path) -> None:
        save_file({name: tensor.contiguous() for name, tensor in trained_tensors(model).items()}, draft / WEIGHTS)
        save_file(moments, draft / OPTIMISER)
        (draft / TOKENIZER).mkdir()
        for file in tokenizer_folder.iterdir():
            place(file, draft / TOKENIZER / file.name)
        chain.copy_to(draft / CHAIN)
        record = {"schema": STATE_SCHEMA, **state, "chainSha256": chain.head}
        (draft / STATE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    return Draft(folder, fill)


def drop_older_resumables(parent: Path) -> None:
    older = sorted((path for path in parent.iterdir() if path.name.startswith("step")), key=_step_of)
    for path in older[:-RESUMABLES_KEPT]:
        shutil.rmtree(path)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step"))


@dataclass
class Resumable:
    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return self.state["step"]


def find_resumable(workdir: Path) -> tuple[Resumable | None, list[str]]:
    """The furthest sound state in WORKDIR/resume and WORKDIR/resumable, and what was found damaged."""
    staged = workdir / "resume"
    candidates = [staged, *sorted(staged.glob("*/")), *sorted((workdir / "resumable").glob("step*/"))]
    sound: list[Resumable] = []
    faults: list[str] = []
    for folder in candidates:
        if not folder.is_dir() or not any((folder / name).exists() for name in (STATE, WEIGHTS, OPTIMISER)):
            continue
        try:
            check_folder(folder)
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            if state["schema"] != STATE_SCHEMA:
                raise Torn(f"{folder.name} was written by another version: {state['schema']}")
            sound.append(Resumable(folder, state))
        except (Torn, ValueError, KeyError, OSError) as fault:
            faults.append(str(fault))
    return max(sound, key=lambda found: found.step, default=None), faults


def check_same_run(found: Resumable, fingerprint: dict[str, Any]) -> None:
    """A state continues the run that wrote it, and no other."""
    theirs = found.state["fingerprint"]
    for name, value in fingerprint.items():
        if theirs.get(name) != value:
            was = json.dumps(theirs.get(name))[:120]
            detail = f"{name}: the state to resume was made with {was}, the job has {json.dumps(value)[:120]}"
            raise Refused("resume-mismatch", detail, name)


def restore(found: Resumable, model: Any, optimiser: Any) -> None:
    """Copies weights and moments into place: the tensors keep their own, aligned memory."""
    import torch
    from safetensors.torch import load_file

    weights, moments = load_file(found.folder / WEIGHTS), load_file(found.folder / OPTIMISER)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
            if f"{name}.exp_avg" not in moments:
                continue
            optimiser.state[parameter] = {
                "step": torch.tensor(float(found.step), device=parameter.device),
                "exp_avg": torch.empty_like(parameter).copy_(moments[f"{name}.exp_avg"]),
                "exp_avg_sq": torch.empty_like(parameter).copy_(moments[f"{name}.exp_avg_sq"]),
            }
