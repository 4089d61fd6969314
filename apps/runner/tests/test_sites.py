"""What is captured is what transformers computes, and the parts of a layer add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from beamtime_runner.corpus import END_OF_TEXT
from beamtime_runner.models import build_config, build_model
from beamtime_runner.revisions import Loaded
from beamtime_runner.sites import match_sites, plan_capture, run_capture, sites_of
from beamtime_runner.tokenizer import save_tokenizer, train_tokenizer
from conftest import train_job

IDS = [5, 17, 60, 61, 5, 17, 200, 3]
FAMILIES = ["gpt-neox", "llama", "gpt2", "bert", "mamba"]


def untrained(family: str, folder: Path, **options: Any) -> Loaded:
    """A model with its initial weights; that is enough to compare two ways of reading it."""
    shape = train_job(family)["model"] | ({"options": options} if options else {})
    tokenizer = train_tokenizer({"kind": "byte"}, [], {})
    save_tokenizer(tokenizer, folder, 32, None)
    model = build_model(build_config(shape, 258, tokenizer.token_to_id(END_OF_TEXT)), seed=3)
    model.save_pretrained(folder)
    return Loaded("step0", folder, torch.device("cpu"), "float32", None)


def capture(loaded: Loaded, *sites: str, **options: Any) -> dict[str, torch.Tensor]:
    return run_capture(plan_capture(loaded, {"sites": list(sites), **options}, {"tokenIds": IDS}))


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Loaded:
    return untrained(request.param, tmp_path / "model")


def test_states_and_patterns_equal_those_of_transformers(loaded: Loaded) -> None:
    got = capture(loaded, "**")
    loaded.model.set_attn_implementation("eager")
    with torch.inference_mode():
        out = loaded.model(input_ids=torch.tensor([IDS]), output_hidden_states=True, output_attentions=True)
    for layer in range(loaded.config.num_hidden_layers):
        at = f"blocks.{layer}"
        if loaded.config.model_type == "mamba":  # transformers keeps what comes out of each block, not what goes in
            assert torch.equal(got[f"{at}.hook_resid_post"], out.hidden_states[layer][0])
        else:
            assert torch.equal(got[f"{at}.hook_resid_pre"], out.hidden_states[layer][0])
            assert torch.equal(got[f"{at}.attn.hook_pattern"], out.attentions[layer][0])


def test_a_layer_adds_up(loaded: Loaded) -> None:
    got = capture(loaded, "**")
    for layer in range(loaded.config.num_hidden_layers):
        at = f"blocks.{layer}"
        if loaded.config.model_type == "mamba":
            parts = [got[f"{at}.hook_resid_pre"], got[f"{at}.hook_out_proj"]]
        elif loaded.masked:
            parts = [got[f"{at}.hook_normalized_resid_mid"], got[f"{at}.hook_mlp_out"]]
        else:
            parts = [got[f"{at}.hook_resid_pre"], got[f"{at}.hook_attn_out"], got[f"{at}.hook_mlp_out"]]
        torch.testing.assert_close(got[f"{at}.hook_resid_post"], sum(parts), atol=1e-6, rtol=1e-6)


def test_heads_times_their_output_weights_are_what_attention_writes(tmp_path: Path) -> None:
    for family, weights in (
        ("gpt-neox", lambda model: (model.gpt_neox.layers[1].attention.dense.weight.T,)),
        ("llama", lambda model: (model.model.layers[1].self_attn.o_proj.weight.T,)),
        ("gpt2", lambda model: (model.transformer.h[1].attn.c_proj.weight,)),
    ):
        loaded = untrained(family, tmp_path / family)
        got = capture(loaded, "blocks.1.**")
        z, pattern, v = (got[f"blocks.1.attn.hook_{name}"] for name in ("z", "pattern", "v"))
        torch.testing.assert_close(z, torch.einsum("hqk,khd->qhd", pattern, v), atol=1e-6, rtol=1e-5)
        (output,) = (weight.detach() for weight in weights(loaded.model))
        written = z.flatten(1) @ output  # initial biases are zero
        torch.testing.assert_close(got["blocks.1.hook_attn_out"], written, atol=1e-6, rtol=1e-5)


def test_patterns_are_rows_of_probabilities(loaded: Loaded) -> None:
    if loaded.config.model_type == "mamba":
        assert not any("pattern" in name for name in sites_of(loaded.model))
        return
    pattern = capture(loaded, "blocks.*.attn.hook_pattern")["blocks.0.attn.hook_pattern"]
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(pattern.shape[:2]))
    if not loaded.masked:
        assert pattern.triu(diagonal=1).abs().max() == 0


def test_every_site_has_the_shape_that_was_promised(loaded: Loaded) -> None:
    for positions in ("all", "last", [0, 3, 3]):
        plan = plan_capture(loaded, {"sites": ["**"], "positions": positions}, {"tokenIds": IDS})
        got = run_capture(plan)
        assert {row["site"]: row["shape"] for row in plan.tensors()} == {
            name: list(tensor.shape) for name, tensor in got.items()
        }
        assert plan.activation_bytes == sum(tensor.nbytes for tensor in got.values())


def test_capturing_changes_nothing_that_comes_after(loaded: Loaded) -> None:
    def logits() -> torch.Tensor:
        with torch.inference_mode():
            return loaded.model(input_ids=torch.tensor([IDS])).logits

    before = logits()
    capture(loaded, "**")
    assert torch.equal(before, logits())


def test_a_sequential_neox_has_a_middle(tmp_path: Path) -> None:
    got = capture(untrained("gpt-neox", tmp_path, use_parallel_residual=False), "blocks.0.**")
    middle = got["blocks.0.hook_resid_pre"] + got["blocks.0.hook_attn_out"]
    torch.testing.assert_close(got["blocks.0.hook_resid_mid"], middle, atol=1e-6, rtol=1e-6)


def test_a_star_is_one_part_of_a_name(tmp_path: Path) -> None:
    known = sites_of(untrained("gpt2", tmp_path).model)
    assert match_sites(["blocks.*.hook_resid_post"], known) == ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    assert match_sites(["blocks.1.attn.*"], known) == [
        f"blocks.1.attn.hook_{name}" for name in ("q", "k", "v", "pattern", "z")
    ]
    assert match_sites(["**"], known) == list(known)
