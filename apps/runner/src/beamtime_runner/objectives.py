"""What a step minimises, and by which optimiser. Two losses: of the next token, or of the masked ones.

Shapes: B rows, T positions, V vocabulary, M masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .models import objective_of

Loss = Callable[[int, np.ndarray, int], torch.Tensor]


def _to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(array.astype(np.int64))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _autocast(device: torch.device, bfloat16: bool) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)


def causal_loss(model: Any, device: torch.device, bfloat16: bool) -> Loss:
    """Mean negative log-likelihood, in nats, of each next token."""

    def loss(_step: int, rows: np.ndarray, _first_row: int) -> torch.Tensor:
        tokens_BT1 = _to_device(rows, device)
        with _autocast(device, bfloat16):
            logits_BTV = model(input_ids=tokens_BT1[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits_BTV.flatten(0, 1).float(), tokens_BT1[:, 1:].flatten())

    return loss


def choose_masks(step: int, first_row: int, shape: tuple[int, int], probability: float, seed: int, vocab: int) -> tuple:
    """Masked positions, equally many in each row, and what BERT's rule puts there: a function of step and row."""
    rows, context = shape
    count = max(1, round(probability * context))
    positions_BM = np.empty((rows, count), dtype=np.int64)
    action_BM = np.empty((rows, count))
    random_BM = np.empty((rows, count), dtype=np.int64)
    for row in range(rows):
        generator = np.random.Generator(np.random.Philox(key=[seed, (step << 20) + first_row + row]))
        positions_BM[row] = np.sort(np.argsort(generator.random(context), kind="stable")[:count])
        action_BM[row] = generator.random(count)
        random_BM[row] = generator.integers(0, vocab, count)
    return positions_BM, action_BM, random_BM


def masked_loss(
    model: Any, device: torch.device, bfloat16: bool, mask_id: int, vocab: int, probability: float, seed: int
) -> Loss:
    """Mean negative log-likelihood, in nats, of the masked tokens: 80 % mask, 10 % random, 10 % as they were."""

    def loss(step: int, rows: np.ndarray, first_row: int) -> torch.Tensor:
        tokens_BT = rows[:, :-1].astype(np.int64)
        shape = (tokens_BT.shape[0], tokens_BT.shape[1])
        positions_BM, action_BM, random_BM = choose_masks(step, first_row, shape, probability, seed, vocab)
        target_BM = np.take_along_axis(tokens_BT, positions_BM, axis=1)
        shown_BM = np.where(action_BM < 0.8, mask_id, np.where(action_BM < 0.9, random_BM, target_BM))
        np.put_along_axis(tokens_BT, positions_BM, shown_BM, axis=1)
        index_BM = _to_device(positions_BM, device)
        with _autocast(device, bfloat16):
            logits_BTV = model(input_ids=_to_device(tokens_BT, device)).logits
        logits_BMV = logits_BTV.gather(1, index_BM.unsqueeze(-1).expand(-1, -1, logits_BTV.shape[-1]))
        return F.cross_entropy(logits_BMV.flatten(0, 1).float(), _to_device(target_BM, device).flatten())

    return loss


def build_objective(
    job: dict[str, Any],
    model: Any,
    training: dict[str, Any],
    mask_id: int | None,
    runtime: dict[str, Any],
    device: torch.device,
) -> Loss:
    """The loss of some rows as a function (step, rows, number of the first row)."""
    forward = torch.compile(model) if runtime["compile"] else model
    bfloat16 = training["dtype"] == "bfloat16"
    if objective_of(job["model"]["family"]) == "causal" or mask_id is None:
        return causal_loss(forward, device, bfloat16)
    vocab, seed = model.config.vocab_size, job["seeds"]["dataOrder"]
    return masked_loss(forward, device, bfloat16, mask_id, vocab, training["maskProbability"], seed)


def build_optimiser(model: Any, training: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW with decay on matrices only, in one fused kernel."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    others = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": training["weightDecay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (training["beta1"], training["beta2"])
    return torch.optim.AdamW(groups, lr=training["learningRate"], betas=betas, eps=training["epsilon"], fused=True)
