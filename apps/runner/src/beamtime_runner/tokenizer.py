"""Tokenizers trained from the corpora, the same on every machine: byte-level, so that no text is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .corpus import END_OF_TEXT, MASK, read_pieces
from .durable import sha256_file, write_folder
from .encode import Encoder
from .refusals import Refused

SPECIALS = [END_OF_TEXT, MASK]
TRAINING_BYTES = {
    "bpe": 64 * 1024 * 1024,
    "unigram": 64 * 1024 * 1024,
}  # of each corpus, from its beginning; bounds memory and time: cutting it into words takes a second for 2 MB
MEASURED_BYTES = 4 * 1024 * 1024  # of each corpus, for bytes per token and fertility
FILE = "tokenizer.json"
_READING = 0.5  # of the time that training a tokenizer takes, about


def train_tokenizer(
    spec: dict[str, Any],
    corpora: list[dict[str, Any]],
    sources: dict[str, Path],
    on_progress: Callable[[float], None] = lambda _: None,
) -> Any:
    """A `tokenizers.Tokenizer`; corpora in the order of the job file, each from its beginning."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    chosen = spec.get("corpora")
    read = [corpus for corpus in corpora if chosen is None or corpus["id"] in chosen]
    texts = _texts(read, sources, spec["kind"], lambda part: on_progress(_READING * part))
    if spec["kind"] == "bpe":
        tokenizer = Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=spec["vocabSize"],
            special_tokens=SPECIALS,
            initial_alphabet=alphabet,
            show_progress=False,
        )
        _split_to_bytes(tokenizer, pre_tokenizers, decoders)
        tokenizer.train_from_iterator(texts, trainer)
    elif spec["kind"] == "unigram":
        from .unigram import train_unigram

        pieces = train_unigram(
            texts, alphabet, spec["vocabSize"] - len(SPECIALS), lambda part: on_progress(_READING * (1 + part))
        )
        tokenizer = Tokenizer(models.Unigram([(token, 0.0) for token in SPECIALS] + pieces, unk_id=None))
        tokenizer.add_special_tokens(SPECIALS)
        _split_to_bytes(tokenizer, pre_tokenizers, decoders)
    else:
        vocabulary = {token: number for number, token in enumerate([*SPECIALS, *alphabet])}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.add_special_tokens(SPECIALS)
        _split_to_bytes(tokenizer, pre_tokenizers, decoders)
    wanted = spec.get("vocabSize", tokenizer.get_vocab_size())
    if tokenizer.get_vocab_size() < wanted:
        detail = f"tokenizer.vocabSize: the corpus allows {tokenizer.get_vocab_size()} tokens, not {wanted}"
        raise Refused("vocabulary-too-large", detail, "tokenizer.vocabSize")
    return tokenizer


def _split_to_bytes(tokenizer: Any, pre_tokenizers: Any, decoders: Any) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()


def _texts(
    corpora: list[dict[str, Any]], sources: dict[str, Path], kind: str, on_progress: Callable[[float], None]
) -> Iterator[str]:
    limit, done = TRAINING_BYTES.get(kind, 0), 0
    whole = sum(min(limit, sources[corpus["id"]].stat().st_size) for corpus in corpora)
    for corpus in corpora:
        left = limit
        for piece in read_pieces(sources[corpus["id"]], corpus.get("format", "text"), corpus["id"]):
            if left <= 0:
                break
            size = len(piece.text.encode())
            left, done = left - size, done + size
            on_progress(min(1.0, done / max(1, whole)))
            yield piece.text


def save_tokenizer(tokenizer: Any, folder: Path, context_tokens: int, made: Path | None) -> list[dict[str, Any]]:
    """Writes the folder that `AutoTokenizer.from_pretrained` reads; a tokenizer made before keeps its bytes."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_tokens,
        "clean_up_tokenization_spaces": False,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "mask_token": MASK,
    }

    def fill(draft: Path) -> None:
        if made is not None:
            shutil.copyfile(made / FILE, draft / FILE)
        else:
            tokenizer.save(str(draft / FILE))
        (draft / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    return write_folder(folder, fill)


def load_tokenizer(folder: Path, field: str = "tokenizer.path") -> Any:
    """The `tokenizers.Tokenizer` of a folder, which must know how a document ends."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / FILE))
    except Exception as error:
        raise Refused("bad-tokenizer", f"{field}: cannot read {FILE} in {folder.name}", field) from error
    if tokenizer.token_to_id(END_OF_TEXT) is None:
        raise Refused("bad-tokenizer", f"{field}: {folder.name} has no token {END_OF_TEXT}", field)
    return tokenizer


def tokenizer_sha256(folder: Path) -> str:
    return sha256_file(folder / FILE)


def measure(
    tokenizer: Any,
    corpora: list[dict[str, Any]],
    sources: dict[str, Path],
    on_progress: Callable[[float], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Bytes per token, and tokens per word (fertility), on the beginning of each corpus."""
    rows = []
    for number, corpus in enumerate(corpora):
        tokens = size = words = 0
        encoder = Encoder(tokenizer, "uint32")
        for piece in read_pieces(sources[corpus["id"]], corpus.get("format", "text"), corpus["id"]):
            tokens += len(encoder.encode([piece.text])[0]) // 4
            size += len(piece.text.encode())
            words += len(piece.text.split())
            on_progress((number + min(1.0, size / MEASURED_BYTES)) / len(corpora))
            if size >= MEASURED_BYTES:
                break
        if tokens == 0:
            raise Refused("corpus-empty", f"data.corpora: {corpus['id']} holds no text", "data.corpora")
        rows.append(
            {
                "id": corpus["id"],
                "language": corpus["language"],
                "script": corpus["script"],
                "bytesPerToken": size / tokens,
                "fertility": tokens / max(1, words),
            }
        )
    return rows
