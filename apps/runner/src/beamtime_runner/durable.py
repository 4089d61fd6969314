"""Files that are there wholly or not at all: temporary folder, fsync, one rename, and a list of hashes inside."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .refusals import refusal_of_full_disk

SUMS = "SHA256SUMS"  # in the format of sha256sum(1), so anyone can check a folder: sha256sum -c SHA256SUMS
_READ_BYTES = 1 << 20


class Torn(Exception):
    """A folder is not what its list of hashes says."""


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_folder(final: Path, fill: Callable[[Path], None]) -> list[dict[str, Any]]:
    """Lets `fill` write into a fresh folder and gives it its name once every byte is on disk.

    Returns the files as `{path, bytes, sha256}`, the list of hashes included. Replaces an older folder of that
    name. On any error nothing remains; a full disk becomes a refusal.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.parent / f".{final.name}.{os.getpid()}.tmp"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir()
        fill(draft)
        files = _describe(draft)
        sums = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in files).encode()
        (draft / SUMS).write_bytes(sums)
        _fsync(draft / SUMS)
        _fsync(draft)
        if final.exists():
            shutil.rmtree(final)
        draft.rename(final)
        _fsync(final.parent)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        refusal = refusal_of_full_disk(error, f"writing {final.name}") if isinstance(error, Exception) else None
        if refusal is not None:
            raise refusal from error
        raise
    return [*files, {"path": SUMS, "bytes": len(sums), "sha256": hashlib.sha256(sums).hexdigest()}]


def _describe(folder: Path) -> list[dict[str, Any]]:
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _fsync(path)
        name = path.relative_to(folder).as_posix()
        files.append({"path": name, "bytes": path.stat().st_size, "sha256": sha256_file(path)})
    return files


def write_file(final: Path, data: bytes) -> None:
    """Writes one file so that a reader sees the old bytes or the new ones, never a part."""
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.parent / f".{final.name}.{os.getpid()}.tmp"
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(final)
    except OSError as error:
        draft.unlink(missing_ok=True)
        refusal = refusal_of_full_disk(error, f"writing {final.name}")
        if refusal is not None:
            raise refusal from error
        raise


def check_folder(folder: Path) -> None:
    """Raises `Torn` unless every file that the folder lists is there with its bytes."""
    sums = folder / SUMS
    if not sums.is_file():
        raise Torn(f"{folder.name} has no {SUMS}")
    for line in sums.read_text(encoding="utf-8").splitlines():
        sha256, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise Torn(f"{folder.name} lacks {name}")
        if sha256_file(path) != sha256:
            raise Torn(f"{name} in {folder.name} is damaged")
