"""Files that are there wholly or not at all: temporary folder, fsync, one rename, and a list of hashes inside."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .refusals import refusal_of_full_disk

SUMS = "SHA256SUMS"  # in the format of sha256sum(1), so anyone can check a folder: sha256sum -c SHA256SUMS
_READ_BYTES = 1 << 20
PENDING_MAX = 1  # folders waiting for the one on its way to disk: each holds a copy of the weights in memory


class Torn(Exception):
    """A folder is not what its list of hashes says."""


def sha256_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """The hash of a file; `on_bytes` hears how much of it was read, for progress over large ones."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done)
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(parent: Path) -> None:
    """Removes what processes that were killed left half-written here. Only for a folder that no other one writes to."""
    for draft in parent.glob(".*.tmp"):
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def write_folder(final: Path, fill: Callable[[Path], None]) -> list[dict[str, Any]]:
    """Lets `fill` write into a fresh folder and gives it its name once every byte is on disk.

    Returns the files as `{path, bytes, sha256}`, the list of hashes included. Replaces an older folder of that
    name. On any error the draft goes and an older folder stays; a full disk becomes a refusal.
    """
    draft = final.parent / f".{final.name}.{os.getpid()}.tmp"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        fill(draft)
        files = _describe(draft)
        sums = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in files).encode()
        (draft / SUMS).write_bytes(sums)
        files.append({"path": SUMS, "bytes": len(sums), "sha256": hashlib.sha256(sums).hexdigest()})
        for entry in files:
            _fsync(draft / entry["path"])
        _fsync(draft)
        if final.exists():
            shutil.rmtree(final)
        draft.rename(final)
        _fsync(final.parent)
        return files
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        refusal = refusal_of_full_disk(error, f"writing {final.name}") if isinstance(error, Exception) else None
        if refusal is not None:
            raise refusal from error
        raise


def _describe(folder: Path) -> list[dict[str, Any]]:
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        files.append({"path": name, "bytes": path.stat().st_size, "sha256": sha256_file(path)})
    return files


def place(source: Path, target: Path) -> None:
    """The same file under a second name, where the file system can; a copy elsewhere. Neither is written again."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


class Background:
    """Does work in order while the next steps are computed; an error surfaces at the next call."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keep")
        self._pending: deque[Future[None]] = deque()

    def do(self, work: Callable[[], None], waiting_max: int = PENDING_MAX) -> None:
        """Takes the work on; waits first while more than `waiting_max` are not done."""
        self._drop_done(leave=waiting_max)
        self._pending.append(self._worker.submit(work))

    def settle(self) -> None:
        """Waits until all is done."""
        self._drop_done(leave=0)

    def _drop_done(self, leave: int) -> None:
        while self._pending and (len(self._pending) > leave or self._pending[0].done()):
            self._pending.popleft().result()


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
