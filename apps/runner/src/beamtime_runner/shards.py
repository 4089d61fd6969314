"""Shards of tokens as they are read: in memory for one window, and noticed when a file is not what it was.

Reading maps no memory: a file cut short would end the process with SIGBUS, where here it is one clear line.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from .durable import sha256_file
from .refusals import Refused

OPEN_FILES_MAX = 256  # of all corpora together; 1024 is what a process may usually have


def width_of(name: str) -> int:
    """Bytes of a token in a shard of this name, `00012.uint16`."""
    return np.dtype(name.rpartition(".")[2]).itemsize


def damage_of(path: Path, shard: dict[str, Any]) -> str | None:
    """What is wrong with the file of a shard `{path, tokens, sha256}`; None when it is whole."""
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != shard["tokens"] * width_of(path.name) or sha256_file(path) != shard["sha256"]:
        return "is damaged"
    return None


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change: what tells that a file is no longer what it was."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return None
    return now.st_size, now.st_mtime_ns


class _OpenFiles:
    """Descriptors by path, the least recently used one closed first."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, int] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def read(self, path: Path, offset: int, size: int) -> tuple[bytes, os.stat_result]:
        with self._one_at_a_time:
            if path not in self._files:
                while len(self._files) >= OPEN_FILES_MAX:
                    os.close(self._files.popitem(last=False)[1])
                self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._files.move_to_end(path)
            file = self._files[path]
            return os.pread(file, size, offset), os.fstat(file)

    def close_below(self, folder: Path) -> None:
        with self._one_at_a_time:
            for path in [path for path in self._files if path.is_relative_to(folder)]:
                os.close(self._files.pop(path))


_open_files = _OpenFiles()


class ShardReader:
    """The tokens of all shards of a corpus, end to end."""

    def __init__(self, corpus_id: str, folder: Path, shards: list[dict[str, Any]], dtype: str):
        self._corpus_id, self._folder, self._shards = corpus_id, folder, shards
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._ends = np.cumsum([shard["tokens"] for shard in shards]).tolist()
        self._seen = [_stamp(folder / shard["path"]) for shard in shards]
        self.tokens: int = self._ends[-1] if shards else 0
        _open_files.close_below(folder)  # an earlier reader's files may have been replaced since

    def read(self, start: int, end: int) -> np.ndarray:
        number = bisect_right(self._ends, start)
        parts = []
        while start < end:
            base = self._ends[number] - self._shards[number]["tokens"]
            count = min(end, self._ends[number]) - start
            parts.append(self._read_shard(number, start - base, count))
            start += count
            number += 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _read_shard(self, number: int, first: int, count: int) -> np.ndarray:
        shard, width = self._shards[number], self._dtype.itemsize
        path = self._folder / shard["path"]
        try:
            data, now = _open_files.read(path, first * width, count * width)
        except FileNotFoundError as error:
            raise self._refusal("shard-missing", shard, "is missing") from error
        found = (now.st_size, now.st_mtime_ns)
        if self._seen[number] != found or len(data) != count * width:
            if damage_of(path, shard) is not None or len(data) != count * width:
                raise self._refusal("shard-changed", shard, "was changed while the run read it")
            self._seen[number] = found  # written again with the same bytes
        return np.frombuffer(data, dtype=self._dtype)

    def _refusal(self, code: str, shard: dict[str, Any], what: str) -> Refused:
        detail = f"data.corpora: the shard {self._corpus_id}/{shard['path']} {what}; start the job again to remake it"
        return Refused(code, detail, "data.corpora")
