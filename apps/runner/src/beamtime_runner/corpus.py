"""Text to tokens on disk, in memory bounded by one block: shards that are whole or absent, so a cut-off run goes on.

A text is read in pieces that end at a line where they can, and each shard holds the tokens of about
SHARD_TEXT_BYTES of text. Where pieces and shards end depends on the text alone, so every machine writes the
same shards. Each document is preceded by the end-of-text token.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .durable import write_file
from .encode import Encoder
from .refusals import Refused, refusal_of_full_disk
from .shards import ShardReader, damage_of, width_of

END_OF_TEXT = "<|endoftext|>"
MASK = "<|mask|>"
PIECE_BYTES = 16 * 1024
READ_BYTES = 1024 * 1024
BLOCK_PIECES = 32
SHARD_TEXT_BYTES = 32 * 1024 * 1024
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024  # one line of JSON is held in memory


@dataclass
class Piece:
    text: str
    starts_document: bool
    end: int  # byte offset in the source after this piece


@dataclass
class Corpus:
    """A tokenised corpus: its shards in order, read through memory maps."""

    id: str
    language: str
    script: str
    sha256: str
    text_bytes: int
    words: int
    dtype: str
    shards: list[dict[str, Any]]  # path, tokens, sha256
    folder: Path

    def __post_init__(self) -> None:
        self._reader = ShardReader(self.id, self.folder, self.shards, self.dtype)
        self.tokens = self._reader.tokens

    def windows(self, context_tokens: int) -> int:
        return max(0, (self.tokens - 1) // context_tokens)

    def read_window(self, index: int, context_tokens: int) -> np.ndarray:
        """The tokens of one window and the first of the next, which is the last target."""
        start = index * context_tokens
        return self.read(start, start + context_tokens + 1)

    def read(self, start: int, end: int) -> np.ndarray:
        return self._reader.read(start, end)


def read_pieces(path: Path, text_format: str, corpus_id: str, start: int = 0) -> Iterator[Piece]:
    """The text from this byte offset on, which must be where an earlier piece ended."""
    with path.open("rb") as file:
        file.seek(start)
        if text_format == "jsonl":
            yield from _read_json_lines(file, corpus_id, start)
        else:
            yield from _read_text(file, corpus_id, start)


def _read_text(file: Any, corpus_id: str, start: int) -> Iterator[Piece]:
    """Pieces of whole lines, as many as fit; a longer line is cut after PIECE_BYTES."""
    data, data_at, is_all = b"", start, False
    at = line_at = start  # of the piece, and of its first line: a character cut in two is left before it
    while True:
        while not is_all and len(data) <= line_at + PIECE_BYTES - data_at:
            more = file.read(READ_BYTES)
            data, data_at, is_all = data[at - data_at :] + more, at, not more
        text_end = data_at + len(data)
        if at == text_end:
            return
        end = data_at + 1 + data.rfind(b"\n", line_at - data_at, at + PIECE_BYTES - data_at)
        if is_all and text_end <= at + PIECE_BYTES:
            end = text_end
        elif end == data_at:  # no line ends in time
            newline = data.find(b"\n", line_at - data_at, line_at + PIECE_BYTES - data_at)
            end = min(text_end, line_at + PIECE_BYTES if newline < 0 else data_at + newline + 1)
        text, used = _decode(data[at - data_at : end - data_at], at, corpus_id, more=end < text_end)
        yield Piece(text, at == 0, at + used)
        at, line_at = at + used, end


def _decode(data: bytes, at: int, corpus_id: str, more: bool) -> tuple[str, int]:
    """As text, and its bytes; a character that the piece's end cuts in two is left for the next piece."""
    try:
        text, used = data.decode("utf-8"), len(data)
    except UnicodeDecodeError as error:
        if not (more and error.reason == "unexpected end of data" and error.start > 0):
            raise _not_text(corpus_id, at + error.start, "not UTF-8") from error
        text, used = data[: error.start].decode("utf-8"), error.start
    if "\0" in text:
        raise _not_text(corpus_id, at + data.index(b"\0"), "a zero byte, as binary files have")
    return text, used


def _not_text(corpus_id: str, at: int, what: str) -> Refused:
    return Refused("corpus-not-text", f"data.corpora: {corpus_id} is not text, byte {at} is {what}", "data.corpora")


def _read_json_lines(file: Any, corpus_id: str, start: int) -> Iterator[Piece]:
    at = start
    while line := file.readline(DOCUMENT_BYTES_MAX + 1):
        if len(line) > DOCUMENT_BYTES_MAX:
            detail = f"data.corpora: {corpus_id} has a line of more than {DOCUMENT_BYTES_MAX} bytes at byte {at}"
            raise Refused("corpus-not-text", detail, "data.corpora")
        end = at + len(line)
        if line.strip():
            try:
                text = json.loads(line)["text"]
            except (ValueError, TypeError, KeyError) as error:
                what = 'not a JSON object with a field "text"'
                raise _not_text(corpus_id, at, what) from error
            if not isinstance(text, str):
                raise _not_text(corpus_id, at, 'an object whose "text" is not a string')
            for first, part in _split(text):
                yield Piece(part, first, end)
        at = end


def _split(text: str) -> Iterator[tuple[bool, str]]:
    """A document in parts that end at a line where they can."""
    first, part = True, ""
    for line in text.splitlines(keepends=True):
        for i in range(0, len(line), PIECE_BYTES):
            chunk = line[i : i + PIECE_BYTES]
            if part and len(part) + len(chunk) > PIECE_BYTES:
                yield first, part
                first, part = False, ""
            part += chunk
    if part:
        yield first, part


class _ShardWriter:
    """One shard in the making: tokens to a temporary file, hashed on the way."""

    def __init__(self, folder: Path, number: int, dtype: str):
        self.name = f"{number:05d}.{dtype}"
        self.final, self.draft = folder / self.name, folder / f".{self.name}.tmp"
        self.file, self.digest = self.draft.open("wb"), hashlib.sha256()
        self.bytes = self.text_bytes = self.words = 0

    def add(self, ids: bytes, text_bytes: int, words: int) -> None:
        self.file.write(ids)
        self.digest.update(ids)
        self.bytes += len(ids)
        self.text_bytes += text_bytes
        self.words += words

    def close(self, end: int) -> dict[str, Any]:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.draft.rename(self.final)
        return {
            "path": self.name,
            "tokens": self.bytes // width_of(self.name),
            "sha256": self.digest.hexdigest(),
            "textBytes": self.text_bytes,
            "words": self.words,
            "sourceEnd": end,
        }


def tokenise(
    source: Path,
    source_sha256: str,
    entry: dict[str, Any],
    tokenizer: Any,
    tokenizer_sha256: str,
    folder: Path,
    on_progress: Callable[[float], None],
    on_damage: Callable[[str], None] = lambda _: None,
) -> Corpus:
    """Writes the shards of one corpus into `folder`, or goes on where an earlier process was cut off.

    Shards that an earlier process left are read and compared with their sha256 first; from the first that is missing
    or damaged on they are made again, and `on_damage` is told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtype = "uint16" if tokenizer.get_vocab_size() <= 1 << 16 else "uint32"
    made_from = {"source": source_sha256, "tokenizer": tokenizer_sha256, "shardTextBytes": SHARD_TEXT_BYTES}
    index = _read_index(folder, made_from, on_progress, on_damage)
    before = source.stat()
    try:
        if not index.get("complete"):
            _write_shards(source, before.st_size, entry, Encoder(tokenizer, dtype), folder, dtype, index, on_progress)
    except OSError as error:
        refusal = refusal_of_full_disk(error, f"tokenising {entry['id']}")
        raise refusal or error from error
    after = source.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        (folder / "index.json").unlink(missing_ok=True)
        detail = f"data.corpora: {entry['id']} was changed while it was being tokenised"
        raise Refused("corpus-changed", detail, "data.corpora")
    shards: list[dict[str, Any]] = index["shards"]
    text_bytes, words = sum(shard["textBytes"] for shard in shards), sum(shard["words"] for shard in shards)
    if text_bytes == 0:
        raise Refused("corpus-empty", f"data.corpora: {entry['id']} holds no text", "data.corpora")
    return Corpus(
        entry["id"],
        entry["language"],
        entry["script"],
        source_sha256,
        text_bytes,
        words,
        dtype,
        shards,
        folder,
    )


def _read_index(
    folder: Path,
    made_from: dict[str, Any],
    on_progress: Callable[[float], None],
    on_damage: Callable[[str], None],
) -> dict[str, Any]:
    """What is there already, when it was made from the same text and tokenizer: the shards up to the first damage."""
    fresh = {"madeFrom": made_from, "shards": [], "complete": False}
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        shards = index["shards"] if index["madeFrom"] == made_from else []
    except (OSError, ValueError, KeyError, TypeError):
        return fresh
    for number, shard in enumerate(shards):
        damage = damage_of(folder / shard["path"], shard)
        if damage is not None:
            on_damage(f"{folder.name}/{shard['path']} {damage}")
            return fresh | {"shards": shards[:number]}
        on_progress(0.0)
    return index if shards else fresh


def _write_shards(
    source: Path,
    size: int,
    entry: dict[str, Any],
    encoder: Encoder,
    folder: Path,
    dtype: str,
    index: dict[str, Any],
    on_progress: Callable[[float], None],
) -> None:
    start = index["shards"][-1]["sourceEnd"] if index["shards"] else 0
    end_of_text = encoder.id_of(END_OF_TEXT)
    shard_start, end = start, start
    writer: _ShardWriter | None = None

    def finish(complete: bool) -> None:
        nonlocal writer
        if writer is not None:
            index["shards"].append(writer.close(end))
            writer = None
        index["complete"] = complete
        write_file(folder / "index.json", json.dumps(index).encode())

    for block in _blocks(read_pieces(source, entry.get("format", "text"), entry["id"], start)):
        for piece, ids in zip(block, encoder.encode([piece.text for piece in block]), strict=True):
            if writer is not None and piece.end - shard_start > SHARD_TEXT_BYTES and piece.end != end:
                finish(complete=False)
                shard_start = end
            writer = writer or _ShardWriter(folder, len(index["shards"]), dtype)
            if piece.starts_document:
                writer.add(end_of_text, 0, 0)
            writer.add(ids, len(piece.text.encode()), len(piece.text.split()))
            end = piece.end
        on_progress(end / max(1, size))
    finish(complete=True)


def _blocks(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    block: list[Piece] = []
    for piece in pieces:
        block.append(piece)
        if len(block) == BLOCK_PIECES:
            yield block
            block = []
    if block:
        yield block
