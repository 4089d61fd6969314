"""Two kinds of folders: a checkpoint that from_pretrained loads, and the state from which a run goes on."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .chain import StepChain
from .durable import Torn, check_folder, place, sha256_file, write_folder
from .refusals import Refused

WEIGHTS = "model.safetensors"
OPTIMISER = "optimizer.safetensors"
STATE = "state.json"
CHAIN = "chain.jsonl"
CHAIN_PART = "step-chain.jsonl"  # of a checkpoint: the steps since the one before it
MANIFEST_COPY = "data-manifest.json"
ABOUT = "beamtime.json"
MOMENTS = ("exp_avg", "exp_avg_sq")
CHECKPOINT_SCHEMA = "beamtime.checkpoint/1"
TOKENIZER = "tokenizer"
RESUMABLES_KEPT = 2
STATE_SCHEMA = "beamtime.runner-state/1"


class Snapshot:
    """Weights, and moments where asked for, as they were at one step: copies that the next step does not touch."""

    def __init__(self, model: Any, optimiser: Any | None = None):
        import torch

        with torch.no_grad():
            copies: dict[int, Any] = {}  # tied weights are copied once
            self.weights: dict[str, Any] = {}
            for name, tensor in model.state_dict(keep_vars=True).items():
                if id(tensor) not in copies:
                    copies[id(tensor)] = _copy(tensor)
                self.weights[name] = copies[id(tensor)]
            self.moments: dict[str, Any] = {}
            states = {} if optimiser is None else optimiser.state
            for name, parameter in model.named_parameters():
                if parameter in states:
                    self.moments |= {f"{name}.{key}": _copy(states[parameter][key]) for key in MOMENTS}
        self.trained = [name for name, _ in model.named_parameters()]  # each once where some are tied


def _copy(tensor: Any) -> Any:
    return tensor.detach().to("cpu", copy=True).contiguous()


class CheckpointFormat:
    """The folder that plain transformers loads, learnt from `save_pretrained` once and then written without it.

    `save_pretrained` costs a small model as much as a step, and only the tensors change between checkpoints. To learn
    under which name it saves each tensor, it is given tensors full of their own number. A test compares both ways.
    """

    def __init__(self, model: Any):
        import torch
        from safetensors.torch import load_file

        tensors = model.state_dict(keep_vars=True)
        number_of = {id(tensor): number for number, tensor in enumerate(tensors.values())}  # the same for tied ones
        first_names = {number_of[id(tensor)]: name for name, tensor in reversed(tensors.items())}
        numbered = {number: torch.full(tensors[name].shape, float(number)) for number, name in first_names.items()}
        with tempfile.TemporaryDirectory() as folder:
            numbers = {name: numbered[number_of[id(tensor)]] for name, tensor in tensors.items()}
            model.save_pretrained(folder, state_dict=numbers, max_shard_size="1000TB")  # in one file
            saved = load_file(Path(folder) / WEIGHTS)
            files = [path for path in Path(folder).iterdir() if path.name != WEIGHTS]
            self._files = {path.name: path.read_bytes() for path in files}
        self._names = {theirs: first_names[int(tensor.flatten()[0])] for theirs, tensor in saved.items()}
        for theirs, ours in self._names.items():
            if not torch.equal(saved[theirs], torch.full_like(tensors[ours], float(saved[theirs].flatten()[0]))):
                raise ValueError(f"transformers saves {theirs} otherwise than as a tensor of the model")

    def write(self, draft: Path, snapshot: Snapshot) -> None:
        from safetensors.torch import save_file

        tensors = {theirs: snapshot.weights[ours] for theirs, ours in self._names.items()}
        save_file(tensors, draft / WEIGHTS, metadata={"format": "pt"})
        for name, data in self._files.items():
            (draft / name).write_bytes(data)


def write_checkpoint(
    folder: Path,
    form: CheckpointFormat,
    snapshot: Snapshot,
    chain: StepChain,
    tokenizer_folder: Path,
    manifest: Path,
    about: dict[str, Any],
) -> list[dict[str, Any]]:
    """Writes a revision: what transformers loads, and beside it the proof of how it came to be.

    Links its weights into the chain; beamtime.json says `about` and the heads before and after this part.
    """

    def fill(draft: Path) -> None:
        form.write(draft, snapshot)
        for file in tokenizer_folder.iterdir():
            if file.suffix == ".json":
                place(file, draft / file.name)
        place(manifest, draft / MANIFEST_COPY)
        weights = sha256_file(draft / WEIGHTS)
        chain.weights(about["step"], weights)
        chain.copy_part_to(draft / CHAIN_PART)
        heads = {"chainBeforeSha256": chain.part_before, "chainSha256": chain.head}
        record = {"schema": CHECKPOINT_SCHEMA, **about, "weightsSha256": weights, **heads}
        (draft / ABOUT).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        chain.end_part()

    return write_folder(folder, fill)


def sha256_of(files: list[dict[str, Any]], name: str) -> str:
    return next(entry["sha256"] for entry in files if entry["path"] == name)


def write_resumable(
    folder: Path, snapshot: Snapshot, chain: StepChain, tokenizer_folder: Path, state: dict[str, Any]
) -> list[dict[str, Any]]:
    """All that a fresh workdir needs beside the inputs. Randomness is a function of the step: none to save."""
    from safetensors.torch import save_file

    def fill(draft: Path) -> None:
        save_file({name: snapshot.weights[name] for name in snapshot.trained}, draft / WEIGHTS)
        save_file(snapshot.moments, draft / OPTIMISER)
        (draft / TOKENIZER).mkdir()
        for file in tokenizer_folder.iterdir():
            place(file, draft / TOKENIZER / file.name)
        chain.copy_to(draft / CHAIN)
        record = {"schema": STATE_SCHEMA, **state, "chainSha256": chain.head}
        (draft / STATE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    return write_folder(folder, fill)


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
