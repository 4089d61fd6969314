"""Completions: score what is given, then generate token by token. Each prompt is computed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from .refusals import Refused
from .revisions import Loaded

LOGPROB_LEAST = -1e30  # JSON has no infinity


@dataclass
class Settings:
    """A completions request with every option filled in."""

    max_tokens: int
    temperature: float
    top_p: float
    logprobs: int | None
    echo: bool
    seed: int
    stop: list[str]

    @staticmethod
    def of(request: dict[str, Any]) -> Settings:
        return Settings(
            request.get("maxTokens", 16),
            request.get("temperature", 1.0),
            request.get("topP", 1.0),
            request.get("logprobs"),
            request.get("echo", False),
            request.get("seed", 0),
            request.get("stop", []),
        )


@dataclass
class Token:
    id: int
    logprob: float | None = None
    top: list[tuple[int, float]] | None = None


@dataclass
class Answer:
    """One choice as it grows: the tokens to show, and why it ended."""

    prompt_tokens: int
    tokens: list[Token] = field(default_factory=list)
    output_tokens: int = 0
    finish_reason: str = "length"


def prompt_ids(loaded: Loaded, prompt: str | list[int], number: int) -> list[int]:
    if isinstance(prompt, str):
        return loaded.encode(prompt).ids or [loaded.start]
    vocabulary = loaded.config.vocab_size
    if max(prompt) >= vocabulary:
        field_name = f"prompts.{number}"
        detail = f"{field_name}: token {max(prompt)} is not in the vocabulary of {vocabulary}"
        raise Refused("bad-request", detail, field_name)
    return prompt


def check_fits(loaded: Loaded, prompt_tokens: int, max_tokens: int, number: int) -> None:
    if prompt_tokens + max_tokens > loaded.context_tokens:
        field_name = f"prompts.{number}"
        detail = (
            f"{field_name}: {prompt_tokens} tokens and {max_tokens} to generate exceed the context of "
            f"{loaded.context_tokens} tokens"
        )
        raise Refused("context-exceeded", detail, field_name)


def _rank(logprobs_V: torch.Tensor, token: int, count: int) -> Token:
    """The token with its own log-probability and the `count` best."""
    top = None
    if count > 0:
        values, indices = logprobs_V.topk(min(count, len(logprobs_V)))
        top = [(int(i), max(float(v), LOGPROB_LEAST)) for v, i in zip(values.tolist(), indices.tolist(), strict=True)]
    return Token(token, max(float(logprobs_V[token]), LOGPROB_LEAST), top if count > 0 else [])


def _choose(logits_V: torch.Tensor, settings: Settings, generator: torch.Generator) -> int:
    if settings.temperature == 0:
        return int(logits_V.argmax())
    probabilities = torch.softmax(logits_V / settings.temperature, dim=-1)
    if settings.top_p < 1:
        ordered, index = probabilities.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= settings.top_p
        probabilities[index[outside]] = 0
    return int(torch.multinomial(probabilities, 1, generator=generator))


@torch.inference_mode()
def complete(loaded: Loaded, ids: list[int], settings: Settings, number: int) -> Iterator[Token]:
    """The echoed prompt if asked for, then each generated token, end of text included."""
    wanted = settings.logprobs
    generator = torch.Generator().manual_seed((settings.seed << 16) + number)
    logits_TV, cache = _prefill(loaded, ids, all_positions=settings.echo and wanted is not None)
    if settings.echo:
        yield Token(ids[0])
        for position, token in enumerate(ids[1:]):
            yield Token(token) if wanted is None else _rank(_log_softmax(logits_TV[position]), token, wanted)
    row = logits_TV[-1]
    for index in range(settings.max_tokens):
        logits_V = row.float().cpu()
        token = _choose(logits_V, settings, generator)
        yield Token(token) if wanted is None else _rank(_log_softmax(logits_V), token, wanted)
        if token == loaded.end_of_text or index + 1 == settings.max_tokens:
            return
        row, cache = _extend(loaded, token, cache)


def _log_softmax(logits_V: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits_V.float().cpu(), dim=-1)


def _prefill(loaded: Loaded, ids: list[int], all_positions: bool) -> tuple[torch.Tensor, dict[str, Any]]:
    keep = {} if all_positions or loaded.config.model_type == "mamba" else {"logits_to_keep": 1}
    with loaded.lock:
        out = loaded.model(input_ids=torch.tensor([ids], device=loaded.device), use_cache=True, **keep)
    return out.logits[0], _cache_of(out)


def _extend(loaded: Loaded, token: int, cache: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    with loaded.lock:
        out = loaded.model(input_ids=torch.tensor([[token]], device=loaded.device), use_cache=True, **cache)
    return out.logits[0, -1], _cache_of(out)


def _cache_of(out: Any) -> dict[str, Any]:
    for name in ("past_key_values", "cache_params"):
        if getattr(out, name, None) is not None:
            return {name: getattr(out, name)}
    return {}


def answer(loaded: Loaded, ids: list[int], settings: Settings, number: int) -> Iterator[tuple[Token, Answer]]:
    """Each token with the answer so far; ends at end of text, a stop string or the limit."""
    so_far = Answer(prompt_tokens=len(ids))
    echoed = len(ids) if settings.echo else 0
    for token in complete(loaded, ids, settings, number):
        so_far.tokens.append(token)
        if len(so_far.tokens) > echoed:
            so_far.output_tokens += 1
            if token.id == loaded.end_of_text:
                so_far.finish_reason = "stop"
            elif settings.stop and _stop_at(loaded, so_far, echoed, settings.stop) is not None:
                so_far.finish_reason = "stop"
                yield token, so_far
                return
        yield token, so_far


def _stop_at(loaded: Loaded, so_far: Answer, echoed: int, stop: list[str]) -> int | None:
    """Where in the generated text the earliest stop string begins."""
    text = loaded.text.text([token.id for token in so_far.tokens[echoed:]])
    found = [at for at in (text.find(string) for string in stop) if at >= 0]
    return min(found, default=None)


def shown(loaded: Loaded, tokens: list[Token], settings: Settings, base: int = 0) -> dict[str, Any]:
    """Tokens as the wire has them; `base` is added to the offsets."""
    text, offsets = loaded.text.spell([token.id for token in tokens])
    wanted = settings.logprobs
    name = loaded.text.name
    return {
        "text": text,
        "tokenIds": [token.id for token in tokens],
        "tokens": [name(token.id) for token in tokens],
        "textOffsets": [base + offset for offset in offsets],
        "tokenLogprobs": None if wanted is None else [token.logprob for token in tokens],
        "topLogprobs": None
        if not wanted
        else [
            None
            if token.top is None
            else [{"tokenId": i, "token": name(i), "logprob": logprob} for i, logprob in token.top]
            for token in tokens
        ],
    }


def choice(loaded: Loaded, so_far: Answer, settings: Settings, number: int) -> dict[str, Any]:
    """A finished answer; text from a stop string on is left out, and the tokens that begin there."""
    tokens = so_far.tokens
    echoed = so_far.prompt_tokens if settings.echo else 0
    fields = shown(loaded, tokens, settings)
    stop = _stop_at(loaded, so_far, echoed, settings.stop) if settings.stop else None
    if stop is not None:
        cut = len(loaded.text.text([token.id for token in tokens[:echoed]])) + stop
        keep = [i for i, offset in enumerate(fields["textOffsets"]) if i < echoed or offset < cut]
        text = fields["text"][:cut]
        fields = shown(loaded, [tokens[i] for i in keep], settings) | {"text": text}
    return {
        "index": number,
        **fields,
        "finishReason": so_far.finish_reason,
        "promptTokens": so_far.prompt_tokens,
        "outputTokens": so_far.output_tokens,
    }


def stream(loaded: Loaded, ids: list[int], settings: Settings, number: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Chunks of one choice with the count of generated tokens; text that may begin a stop string waits."""
    held: list[Token] = []
    shown_tokens = 0
    so_far = Answer(len(ids))
    for token, so_far in answer(loaded, ids, settings, number):
        held.append(token)
        if settings.stop or _is_partial(loaded, held):
            continue  # with stop strings the whole choice is one chunk: what to show is known at its end
        base = len(loaded.text.text([token.id for token in so_far.tokens[:shown_tokens]]))
        yield {"kind": "text", "index": number, **shown(loaded, held, settings, base)}, so_far.output_tokens
        shown_tokens += len(held)
        held = []
    if held:
        final = choice(loaded, so_far, settings, number)
        names = ("text", "tokenIds", "tokens", "textOffsets", "tokenLogprobs", "topLogprobs")
        if shown_tokens:
            base = len(loaded.text.text([token.id for token in so_far.tokens[:shown_tokens]]))
            final = shown(loaded, held, settings, base)
        yield {"kind": "text", "index": number, **{name: final[name] for name in names}}, so_far.output_tokens
    finish = {"kind": "finish", "index": number, "finishReason": so_far.finish_reason}
    yield finish, so_far.output_tokens


def _is_partial(loaded: Loaded, tokens: list[Token]) -> bool:
    """Whether the tokens end in mid-character; at most three more bytes complete one."""
    data = b"".join(loaded.text.table[token.id] for token in tokens)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and len(data) - error.start < 4
    return False
