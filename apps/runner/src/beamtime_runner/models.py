"""Models of the five families, built from their transformers configuration with nothing left to chance."""

from __future__ import annotations

from typing import Any

from .refusals import Refused

FAMILY_OF_MODEL_TYPE = {
    "gpt_neox": "gpt-neox",
    "llama": "llama",
    "gpt2": "gpt2",
    "bert": "bert",
    "mamba": "mamba",
}
MASKED_FAMILIES = {"bert"}
# Options that the configuration takes but does not keep under that name.
_RENAMED_OPTIONS = {"gpt-neox": {"rotary_pct", "rotary_emb_base"}, "llama": {"rope_theta"}}


def objective_of(family: str) -> str:
    return "masked" if family in MASKED_FAMILIES else "causal"


def build_config(shape: dict[str, Any], vocab_size: int, end_of_text: int) -> Any:
    """The transformers configuration of this shape; dropout is off, as in Pythia."""
    family, width = shape["family"], shape["hiddenSize"]
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end_of_text)
    fields: dict[str, Any] = {"vocab_size": vocab_size, **ends}
    defaults: dict[str, Any] = {}  # what options may change
    if "tieEmbeddings" in shape:
        fields["tie_word_embeddings"] = shape["tieEmbeddings"]
    inner = shape.get("intermediateSize", 4 * width)
    depth, heads, context = shape["layers"], shape.get("heads"), shape["contextTokens"]
    common = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    common |= {"intermediate_size": inner, "max_position_embeddings": context}
    if family == "gpt-neox":
        from transformers import GPTNeoXConfig as Config

        fields |= common
        defaults = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
    elif family == "llama":
        from transformers import LlamaConfig as Config

        fields |= common
        defaults = {"num_key_value_heads": heads, "attention_dropout": 0.0}
    elif family == "gpt2":
        from transformers import GPT2Config as Config

        fields |= {"n_embd": width, "n_layer": depth, "n_head": heads, "n_positions": context, "n_inner": inner}
        defaults = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    elif family == "bert":
        from transformers import BertConfig as Config

        fields |= common
        defaults = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "type_vocab_size": 1}
    else:
        from transformers import MambaConfig as Config

        if inner % width != 0:
            detail = f"model.intermediateSize: mamba needs a multiple of hiddenSize {width}"
            raise Refused("bad-job", detail, "model.intermediateSize")
        expand = inner // width if "intermediateSize" in shape else 2
        fields |= {"hidden_size": width, "num_hidden_layers": depth, "expand": expand}
    return _with_options(Config, fields, defaults, shape.get("options", {}), family)


def _with_options(
    config_class: Any, fields: dict[str, Any], defaults: dict[str, Any], options: dict[str, Any], family: str
) -> Any:
    known = vars(config_class()).keys() | fields.keys() | defaults.keys() | _RENAMED_OPTIONS.get(family, set())
    for name in options:
        field = f"model.options.{name}"
        if name in fields:
            raise Refused("bad-job", f"{field}: is set by another field of model", field)
        if name not in known or name.startswith("_"):
            raise Refused("bad-job", f"{field}: {family} has no such option", field)
    try:
        return config_class(**fields, **{**defaults, **options})
    except Exception as error:
        raise Refused("bad-job", f"model: transformers refuses it: {_first_line(error)}", "model") from error


def check_shape(shape: dict[str, Any], vocab_size: int) -> None:
    """Refuses a shape with which no step can be computed, without computing one: a layer of it on torch's meta device.

    The schema knows that heads divide the width; that a rotary embedding needs an even head, or that key and value
    heads have to divide the heads, only the model itself does.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    config = build_config({**shape, "layers": 1}, vocab_size, 0)
    auto = AutoModelForMaskedLM if config.model_type in MASKED_FAMILIES else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            tokens = torch.zeros((1, min(8, shape["contextTokens"])), dtype=torch.long)
            auto.from_config(config)(input_ids=tokens, use_cache=False)
    except Exception as error:
        if "meta tensor" in str(error):  # the model looks at a value, which there is none of here
            return
        raise Refused("bad-job", f"model: this shape cannot be computed: {_first_line(error)}", "model") from error


def _first_line(error: Exception) -> str:
    said = str(error.__cause__ or error)  # a validator's own words, not that it said something
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)[:300]


def build_model(config: Any, seed: int) -> Any:
    """The model with its initial weights, which depend on the configuration and this seed alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    auto = AutoModelForMaskedLM if config.model_type in MASKED_FAMILIES else AutoModelForCausalLM
    torch.manual_seed(seed)
    return auto.from_config(config)


def count_parameters(model: Any) -> tuple[int, int]:
    """All parameters, and those outside the embeddings (of tokens, of positions, and the output's)."""
    total = sum(parameter.numel() for parameter in model.parameters())
    embeddings = {
        id(parameter): parameter.numel()
        for module in model.modules()
        if type(module).__name__ == "Embedding"
        for parameter in module.parameters()
    }
    output = model.get_output_embeddings()
    if output is not None:
        embeddings[id(output.weight)] = output.weight.numel()
    return total, total - sum(embeddings.values())


def flops_per_token(model: Any, context_tokens: int) -> float:
    """Training FLOPs: 6 for each parameter in a matrix product (the output's included), and attention's own."""
    _, body = count_parameters(model)
    config = model.config
    output = config.vocab_size * config.hidden_size
    attention = (
        0 if config.model_type == "mamba" else 12 * config.num_hidden_layers * config.hidden_size * context_tokens
    )
    return float(6 * (body + output) + attention)


def resolved_shape(shape: dict[str, Any], model: Any) -> dict[str, Any]:
    """What the model is, read back from the model itself."""
    config = model.config
    parameters, without = count_parameters(model)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    return {
        "family": shape["family"],
        "objective": objective_of(shape["family"]),
        "hiddenSize": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": getattr(config, "num_attention_heads", 0),
        "contextTokens": shape["contextTokens"],
        "intermediateSize": inner,
        "tieEmbeddings": bool(config.tie_word_embeddings),
        "vocabSize": config.vocab_size,
        "parameters": parameters,
        "parametersWithoutEmbeddings": without,
        "config": config.to_dict(),
    }
