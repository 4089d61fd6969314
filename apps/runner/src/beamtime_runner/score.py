"""Log-probabilities of each token of a text, however long, by windows that overlap by half.

Shapes: N tokens of the text, T positions of a window, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .revisions import Loaded

WINDOWS_AT_ONCE = 16  # of one text; texts are never mixed, so an answer does not depend on its neighbours
MASKED_AT_ONCE = 32  # variants of one window, each with one token masked, in one forward pass


@torch.inference_mode()
def predictions(loaded: Loaded, ids: list[int]) -> Iterator[tuple[int, torch.Tensor]]:
    """(first, log-probabilities [n, V]) in order: row i predicts token first + i from what stands before it.

    For a causal model one last row, number N, predicts what comes after the text. A masked model predicts each
    token from both sides (pseudo-likelihood), and nothing after the text.
    """
    if loaded.masked:
        yield from _masked_predictions(loaded, ids)
        return
    sequence = [loaded.start, *ids]
    done = 0  # rows given so far; row r is the prediction at position r of the sequence
    windows = _windows(len(sequence), loaded.context_tokens)
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[first : first + WINDOWS_AT_ONCE]
        with loaded.lock:
            tokens_BT = torch.tensor([sequence[begin:end] for begin, end in batch], device=loaded.device)
            logits_BTV = loaded.model(input_ids=tokens_BT).logits
        for (begin, end), logits_TV in zip(batch, logits_BTV, strict=True):
            yield done, torch.log_softmax(logits_TV[done - begin :].float(), dim=-1)
            done = end


def _windows(length: int, context: int) -> list[tuple[int, int]]:
    """Windows, all of one length, of which each after the first predicts its second half; the last may overlap more."""
    windows = [(0, min(context, length))]
    while windows[-1][1] < length:
        begin = min(windows[-1][1] - context // 2, length - context)
        windows.append((begin, begin + context))
    return windows


def _masked_predictions(loaded: Loaded, ids: list[int]) -> Iterator[tuple[int, torch.Tensor]]:
    mask, end = loaded.mask, loaded.token_id("sepToken")
    if mask is None:
        raise ValueError("a masked model without a mask token")
    suffix = [] if end is None else [end]
    room = loaded.context_tokens - 1 - len(suffix)
    for first in range(0, len(ids), room):
        window = [loaded.start, *ids[first : first + room], *suffix]
        count = len(ids[first : first + room])
        for at in range(0, count, MASKED_AT_ONCE):
            positions = torch.arange(at, min(count, at + MASKED_AT_ONCE)) + 1
            batch = torch.tensor(window).repeat(len(positions), 1)
            batch[torch.arange(len(positions)), positions] = mask
            with loaded.lock:
                logits = loaded.model(input_ids=batch.to(loaded.device)).logits
            rows = logits[torch.arange(len(positions)), positions.to(logits.device)]
            yield first + at, torch.log_softmax(rows.float(), dim=-1)


def token_logprobs(loaded: Loaded, ids: list[int]) -> torch.Tensor:
    """Log-probability of each token, [N], in nats, on the CPU."""
    parts = []
    for first, rows in predictions(loaded, ids):
        targets = torch.tensor(ids[first : first + len(rows)], device=rows.device)
        parts.append(rows[: len(targets)].gather(1, targets[:, None])[:, 0].cpu())
    return torch.cat(parts) if parts else torch.zeros(0)


@torch.inference_mode()
def embed(loaded: Loaded, ids: list[int], pooling: str) -> list[float]:
    """The last layer's states, their mean or the last one."""
    body = getattr(loaded.model, loaded.model.base_model_prefix)
    with loaded.lock:
        states_TD = body(input_ids=torch.tensor([ids], device=loaded.device)).last_hidden_state[0]
    vector = states_TD.float().mean(dim=0) if pooling == "mean" else states_TD[-1].float()
    return vector.cpu().tolist()
