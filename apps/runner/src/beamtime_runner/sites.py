"""Places inside a model by TransformerLens's names, and reading what passes there.

A site's tensor has no batch dimension: [position, width], [position, head, width of a head], or for attention
patterns [head, query, key]. Its shape is known before the model runs, so a capture can be paid for first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .models import flops_per_token
from .refusals import Refused
from .revisions import Loaded

Shape = Callable[[int], tuple[int, ...]]
Pick = Callable[[torch.Tensor], torch.Tensor]
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass
class Site:
    """Where to listen: a module, whether at its input or which of its outputs, and how to shape what comes."""

    module: Any
    port: str | int  # "in", or the number of the output
    shape: Shape  # of all positions, given the number of tokens
    pick: Pick = lambda tensor: tensor
    position_dim: int = 0


def sites_of(model: Any) -> dict[str, Site]:
    """Every site of this model in the order of the computation."""
    kind = model.config.model_type
    if kind not in _FAMILIES:
        raise Refused("unknown-family", f"captures know no model of type {kind}")
    return _FAMILIES[kind](model)


def match_sites(patterns: list[str], known: dict[str, Site]) -> list[str]:
    """The sites that the patterns name, in the model's order: * is one part of a name, ** any number of them."""
    chosen: set[str] = set()
    for number, pattern in enumerate(patterns):
        parts = re.split(r"(\*\*|\*)", pattern)
        regex = re.compile("".join({"**": ".+", "*": "[^.]+"}.get(part, re.escape(part)) for part in parts))
        found = [name for name in known if regex.fullmatch(name)]
        if not found:
            raise Refused("unknown-site", f"sites.{number}: {pattern} matches no site of this model", f"sites.{number}")
        chosen.update(found)
    return [name for name in known if name in chosen]


def choose_positions(positions: Any, tokens: int) -> list[int] | None:
    """Positions as numbers; None is all of them."""
    if positions in (None, "all"):
        return None
    chosen = [tokens - 1] if positions == "last" else positions
    if max(chosen) >= tokens:
        detail = f"positions: {max(chosen)} is beyond the {tokens} tokens of the input"
        raise Refused("bad-request", detail, "positions")
    return chosen


@dataclass
class Plan:
    """A capture that has been checked and measured, and not yet run."""

    loaded: Loaded
    ids: list[int]
    sites: dict[str, Site]
    positions: list[int] | None
    dtype: str

    def tensors(self) -> list[dict[str, Any]]:
        rows = []
        for name, site in self.sites.items():
            shape = list(site.shape(len(self.ids)))
            if self.positions is not None:
                shape[site.position_dim] = len(self.positions)
            size = ITEM_BYTES[self.dtype]
            for length in shape:
                size *= length
            rows.append({"site": name, "dtype": self.dtype, "shape": shape, "bytes": size})
        return rows

    @property
    def activation_bytes(self) -> int:
        return sum(row["bytes"] for row in self.tensors())

    @property
    def flops(self) -> float:
        """A forward pass costs a third of what training on the tokens does."""
        return flops_per_token(self.loaded.model, len(self.ids)) / 3 * len(self.ids)


def plan_capture(loaded: Loaded, request: dict[str, Any], source: dict[str, Any]) -> Plan:
    """Checks sites, positions and length; costs no forward pass."""
    if "text" in source:
        ids = loaded.encode(source["text"]).ids
    else:
        ids = source["tokenIds"]
        if max(ids) >= loaded.config.vocab_size:
            detail = f"tokenIds: {max(ids)} is not in the vocabulary of {loaded.config.vocab_size}"
            raise Refused("bad-request", detail, "input.tokenIds")
    if len(ids) > loaded.context_tokens:
        detail = f"input: {len(ids)} tokens exceed the context of {loaded.context_tokens}"
        raise Refused("context-exceeded", detail, "input")
    known = sites_of(loaded.model)
    names = match_sites(request["sites"], known)
    positions = choose_positions(request.get("positions"), len(ids))
    return Plan(loaded, ids, {name: known[name] for name in names}, positions, request.get("dtype", "float32"))


@torch.inference_mode()
def run_capture(plan: Plan) -> dict[str, torch.Tensor]:
    """One forward pass with listeners at the sites. Attention is computed step by step, so patterns exist."""
    model = plan.loaded.model
    caught: dict[str, torch.Tensor] = {}
    dtype = getattr(torch, plan.dtype)

    def keep(name: str, site: Site, value: torch.Tensor) -> None:
        tensor = site.pick(value[0])
        if plan.positions is not None:
            tensor = tensor.index_select(site.position_dim, torch.tensor(plan.positions, device=tensor.device))
        caught[name] = tensor.to(dtype).cpu().clone(memory_format=torch.contiguous_format)

    with plan.loaded.lock:
        before = model.config._attn_implementation
        handles = [_listen(name, site, keep) for name, site in plan.sites.items()]
        try:
            model.set_attn_implementation("eager")
            model(input_ids=torch.tensor([plan.ids], device=plan.loaded.device))
        finally:
            model.set_attn_implementation(before)
            for handle in handles:
                handle.remove()
    return {name: caught[name] for name in plan.sites}


def _listen(name: str, site: Site, keep: Callable[[str, Site, torch.Tensor], None]) -> Any:
    if site.port == "in":

        def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            keep(name, site, args[0] if args else kwargs["hidden_states"])

        return site.module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_module: Any, _args: Any, output: Any) -> None:
        keep(name, site, output[int(site.port)] if isinstance(output, tuple) else output)

    return site.module.register_forward_hook(after)


# ---------------------------------------------------------------- families


def _width(size: int) -> Shape:
    return lambda tokens: (tokens, size)


def _by_head(heads: int, size: int) -> tuple[Shape, Pick]:
    return lambda tokens: (tokens, heads, size), lambda tensor: tensor.reshape(tensor.shape[0], heads, size)


def _pattern(module: Any, heads: int) -> Site:
    return Site(module, 1, lambda tokens: (heads, tokens, tokens), position_dim=1)


def _head_sites(at: str, heads: int, size: int, ports: Mapping[str, tuple[Any, str | int]]) -> dict[str, Site]:
    shape, pick = _by_head(heads, size)
    return {f"{at}.attn.hook_{name}": Site(module, port, shape, pick) for name, (module, port) in ports.items()}


def _slice(heads: int, size: int, number: int, fused: str) -> tuple[Shape, Pick]:
    """One of q, k, v from a projection that makes all three: interleaved by head (NeoX) or in blocks (GPT-2)."""

    def pick(tensor: torch.Tensor) -> torch.Tensor:
        tokens = tensor.shape[0]
        if fused == "by-head":
            return tensor.reshape(tokens, heads, 3, size)[:, :, number]
        return tensor.reshape(tokens, 3, heads, size)[:, number]

    return lambda tokens: (tokens, heads, size), pick


def _gpt_neox(model: Any) -> dict[str, Site]:
    config = model.config
    wide, heads = _width(config.hidden_size), config.num_attention_heads
    size, inner = config.hidden_size // heads, _width(config.intermediate_size)
    sites = {"hook_embed": Site(model.gpt_neox.embed_in, 0, wide)}
    for number, layer in enumerate(model.gpt_neox.layers):
        at = f"blocks.{number}"
        sites[f"{at}.hook_resid_pre"] = Site(layer, "in", wide)
        for index, name in enumerate("qkv"):
            shape, pick = _slice(heads, size, index, "by-head")
            sites[f"{at}.attn.hook_{name}"] = Site(layer.attention.query_key_value, 0, shape, pick)
        sites[f"{at}.attn.hook_pattern"] = _pattern(layer.attention, heads)
        sites |= _head_sites(at, heads, size, {"z": (layer.attention.dense, "in")})
        sites[f"{at}.hook_attn_out"] = Site(layer.attention, 0, wide)
        if not config.use_parallel_residual:
            sites[f"{at}.hook_resid_mid"] = Site(layer.post_attention_layernorm, "in", wide)
        sites[f"{at}.mlp.hook_pre"] = Site(layer.mlp.dense_h_to_4h, 0, inner)
        sites[f"{at}.mlp.hook_post"] = Site(layer.mlp.dense_4h_to_h, "in", inner)
        sites[f"{at}.hook_mlp_out"] = Site(layer.mlp, 0, wide)
        sites[f"{at}.hook_resid_post"] = Site(layer, 0, wide)
    return sites


def _llama(model: Any) -> dict[str, Site]:
    config = model.config
    wide, heads, inner = (
        _width(config.hidden_size),
        config.num_attention_heads,
        _width(config.intermediate_size),
    )
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    sites = {"hook_embed": Site(model.model.embed_tokens, 0, wide)}
    for number, layer in enumerate(model.model.layers):
        at, attention, mlp = f"blocks.{number}", layer.self_attn, layer.mlp
        sites[f"{at}.hook_resid_pre"] = Site(layer, "in", wide)
        sites |= _head_sites(at, heads, size, {"q": (attention.q_proj, 0)})
        keys = {"k": (attention.k_proj, 0), "v": (attention.v_proj, 0)}
        sites |= _head_sites(at, config.num_key_value_heads, size, keys)
        sites[f"{at}.attn.hook_pattern"] = _pattern(attention, heads)
        sites |= _head_sites(at, heads, size, {"z": (attention.o_proj, "in")})
        sites[f"{at}.hook_attn_out"] = Site(attention, 0, wide)
        sites[f"{at}.hook_resid_mid"] = Site(layer.post_attention_layernorm, "in", wide)
        sites[f"{at}.mlp.hook_pre"] = Site(mlp.gate_proj, 0, inner)
        sites[f"{at}.mlp.hook_pre_linear"] = Site(mlp.up_proj, 0, inner)
        sites[f"{at}.mlp.hook_post"] = Site(mlp.down_proj, "in", inner)
        sites[f"{at}.hook_mlp_out"] = Site(mlp, 0, wide)
        sites[f"{at}.hook_resid_post"] = Site(layer, 0, wide)
    return sites


def _gpt2(model: Any) -> dict[str, Site]:
    config = model.config
    wide, heads = _width(config.hidden_size), config.num_attention_heads
    size, inner = config.hidden_size // heads, _width(config.n_inner or 4 * config.hidden_size)
    body = model.transformer
    sites = {"hook_embed": Site(body.wte, 0, wide), "hook_pos_embed": Site(body.wpe, 0, wide)}
    for number, layer in enumerate(body.h):
        at = f"blocks.{number}"
        sites[f"{at}.hook_resid_pre"] = Site(layer, "in", wide)
        for index, name in enumerate("qkv"):
            shape, pick = _slice(heads, size, index, "in-blocks")
            sites[f"{at}.attn.hook_{name}"] = Site(layer.attn.c_attn, 0, shape, pick)
        sites[f"{at}.attn.hook_pattern"] = _pattern(layer.attn, heads)
        sites |= _head_sites(at, heads, size, {"z": (layer.attn.c_proj, "in")})
        sites[f"{at}.hook_attn_out"] = Site(layer.attn, 0, wide)
        sites[f"{at}.hook_resid_mid"] = Site(layer.ln_2, "in", wide)
        sites[f"{at}.mlp.hook_pre"] = Site(layer.mlp.c_fc, 0, inner)
        sites[f"{at}.mlp.hook_post"] = Site(layer.mlp.c_proj, "in", inner)
        sites[f"{at}.hook_mlp_out"] = Site(layer.mlp, 0, wide)
        sites[f"{at}.hook_resid_post"] = Site(layer, 0, wide)
    return sites


def _bert(model: Any) -> dict[str, Site]:
    """BERT normalises after adding: resid_mid and resid_post stand before that, normalized_* after it."""
    config = model.config
    wide, heads = _width(config.hidden_size), config.num_attention_heads
    size, inner = config.hidden_size // heads, _width(config.intermediate_size)
    sites = {"hook_embed": Site(model.bert.embeddings.word_embeddings, 0, wide)}
    for number, layer in enumerate(model.bert.encoder.layer):
        at, attention, own = f"blocks.{number}", layer.attention, layer.attention.self
        sites[f"{at}.hook_resid_pre"] = Site(layer, "in", wide)
        ports = {
            "q": (own.query, 0),
            "k": (own.key, 0),
            "v": (own.value, 0),
            "z": (attention.output.dense, "in"),
        }
        sites |= _head_sites(at, heads, size, ports)
        sites[f"{at}.attn.hook_pattern"] = _pattern(own, heads)
        sites[f"{at}.hook_attn_out"] = Site(attention.output.dense, 0, wide)
        sites[f"{at}.hook_resid_mid"] = Site(attention.output.LayerNorm, "in", wide)
        sites[f"{at}.hook_normalized_resid_mid"] = Site(attention.output.LayerNorm, 0, wide)
        sites[f"{at}.mlp.hook_pre"] = Site(layer.intermediate.dense, 0, inner)
        sites[f"{at}.mlp.hook_post"] = Site(layer.output.dense, "in", inner)
        sites[f"{at}.hook_mlp_out"] = Site(layer.output.dense, 0, wide)
        sites[f"{at}.hook_resid_post"] = Site(layer.output.LayerNorm, "in", wide)
        sites[f"{at}.hook_normalized_resid_post"] = Site(layer.output.LayerNorm, 0, wide)
    return sites


def _mamba(model: Any) -> dict[str, Site]:
    wide = _width(model.config.hidden_size)
    sites = {"hook_embed": Site(model.backbone.embeddings, 0, wide)}
    for number, layer in enumerate(model.backbone.layers):
        sites[f"blocks.{number}.hook_resid_pre"] = Site(layer, "in", wide)
        sites[f"blocks.{number}.hook_out_proj"] = Site(layer.mixer, 0, wide)
        sites[f"blocks.{number}.hook_resid_post"] = Site(layer, 0, wide)
    return sites


_FAMILIES = {"gpt_neox": _gpt_neox, "llama": _llama, "gpt2": _gpt2, "bert": _bert, "mamba": _mamba}
