"""Trained revisions in memory: loaded when first asked for, the least recently used one dropped first."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from . import __version__, environment
from .corpus import MASK
from .durable import sha256_file
from .models import MASKED_FAMILIES
from .refusals import Refused
from .token_text import TokenText

CONTEXT_TOKENS_UNKNOWN = 2048  # for a recurrent model whose tokenizer names no limit


class Loaded:
    """One revision, ready to be asked."""

    def __init__(self, revision: str, folder: Path, device: Any, dtype: str, expected_sha256: str | None):
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

        self.revision, self.folder, self.device, self.dtype = revision, folder, device, dtype
        self.weights_sha256 = weights_sha256(folder)
        if expected_sha256 not in (None, self.weights_sha256):
            raise Refused("weights-changed", f"revisions: the weights of {revision} are not those that the job names")
        try:
            self.config = AutoConfig.from_pretrained(folder)
            self.masked = self.config.model_type in MASKED_FAMILIES
            auto = AutoModelForMaskedLM if self.masked else AutoModelForCausalLM
            model = auto.from_pretrained(folder, dtype=getattr(torch, dtype))
        except Exception as error:
            raise Refused("cannot-load", f"revisions: transformers cannot load {revision}: {error}"[:500]) from error
        self.model: Any = model.to(device).eval()
        self.tokenizer, special = _load_tokenizer(folder)
        self.special: dict[str, str | None] = special
        self.text = TokenText(self.tokenizer)
        self.context_tokens: int = getattr(self.config, "max_position_embeddings", None) or special["contextTokens"]
        self.lock = threading.RLock()

    def encode(self, text: str) -> Any:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def token_id(self, name: str) -> int | None:
        token = self.special.get(name)
        return None if token is None else self.tokenizer.token_to_id(token)

    @property
    def end_of_text(self) -> int | None:
        end = self.token_id("eosToken")
        return end if end is not None else getattr(self.config, "eos_token_id", None)

    @property
    def start(self) -> int:
        """The token that stands before a text: what the model saw there in training."""
        for name in ("clsToken", "bosToken", "eosToken"):
            number = self.token_id(name)
            if number is not None:
                return number
        return self.config.bos_token_id or 0

    @property
    def mask(self) -> int | None:
        number = self.token_id("maskToken")
        return number if number is not None else self.tokenizer.token_to_id(MASK)

    def receipt(self) -> dict[str, Any]:
        """What produced a number. Each input is computed by itself, unpadded, so no answer depends on its batch."""
        import torch

        about = environment.describe(environment.device_name(self.device), torch.get_num_threads())
        return {
            "revision": self.revision,
            "weightsSha256": self.weights_sha256,
            "tokenizerSha256": hashlib.sha256(self.tokenizer.to_str(pretty=True).encode()).hexdigest()
            if not (self.folder / "tokenizer.json").is_file()
            else sha256_file(self.folder / "tokenizer.json"),
            "codeVersion": __version__,
            "torchVersion": about["torch"],
            "transformersVersion": about["transformers"],
            "dtype": self.dtype,
            "device": about["device"],
            "threads": about["threads"],
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "batchInvariant": True,
        }


def weights_sha256(folder: Path) -> str:
    """Of model.safetensors; of the list of hashes where weights come in several files."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise Refused("input-missing", f"revisions: {folder.name} holds no weights", "revisions")
    if len(files) == 1:
        return sha256_file(files[0])
    return hashlib.sha256("".join(f"{sha256_file(file)}  {file.name}\n" for file in files).encode()).hexdigest()


def _load_tokenizer(folder: Path) -> tuple[Any, dict[str, Any]]:
    from tokenizers import Tokenizer

    names = {
        "eos_token": "eosToken",
        "bos_token": "bosToken",
        "pad_token": "padToken",
        "mask_token": "maskToken",
    }
    names |= {"cls_token": "clsToken", "sep_token": "sepToken"}
    config_file = folder / "tokenizer_config.json"
    if (folder / "tokenizer.json").is_file() and config_file.is_file():
        config = json.loads(config_file.read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        from transformers import AutoTokenizer

        slow: Any = AutoTokenizer.from_pretrained(folder)
        config = {name: getattr(slow, name) for name in names} | {"model_max_length": slow.model_max_length}
        tokenizer = slow.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    special: dict[str, Any] = {}
    for theirs, ours in names.items():
        token = config.get(theirs)
        special[ours] = token["content"] if isinstance(token, dict) else token
    limit = config.get("model_max_length", CONTEXT_TOKENS_UNKNOWN)
    special["contextTokens"] = int(limit) if limit < 1e9 else CONTEXT_TOKENS_UNKNOWN
    special["chatTemplate"] = config.get("chat_template")
    special["tokenizerClass"] = config.get("tokenizer_class", "PreTrainedTokenizerFast")
    return tokenizer, special


class Revisions:
    """The revisions that a job names, at most `loaded_max` of them in memory."""

    def __init__(self, entries: list[dict[str, Any]], workdir: Path, device: Any, dtype: str, loaded_max: int):
        self.entries = {entry["revision"]: entry for entry in entries}
        self._workdir, self._device, self._dtype, self._loaded_max = workdir, device, dtype, loaded_max
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        for entry in entries:
            if not (workdir / entry["path"] / "config.json").is_file():
                detail = f"revisions: there is no from_pretrained folder {entry['path']} in the workdir"
                raise Refused("input-missing", detail, "revisions")

    def is_loaded(self, revision: str) -> bool:
        return revision in self._loaded

    def get(self, revision: str) -> Loaded:
        with self._lock:
            if revision not in self._loaded:
                entry = self.entries[revision]
                while len(self._loaded) >= self._loaded_max:
                    self._loaded.popitem(last=False)
                folder = self._workdir / entry["path"]
                self._loaded[revision] = Loaded(revision, folder, self._device, self._dtype, entry.get("weightsSha256"))
            self._loaded.move_to_end(revision)
            return self._loaded[revision]
