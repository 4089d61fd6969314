"""From the inputs of a train job to batches: checks, tokenizer, shards, manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .batches import Batches, batches_of_manifest, make_batches, manifest_bytes, manifest_of
from .corpus import MASK, tokenise
from .durable import sha256_file, write_file
from .events import Events
from .interruption import Interruption
from .job import input_file
from .models import MASKED_FAMILIES
from .refusals import Refused
from .tokenizer import load_tokenizer, measure, save_tokenizer, tokenizer_sha256, train_tokenizer

MANIFEST = "manifest.json"
TOKENIZER_RECORD = "tokenizer-made-from.json"


class Data:
    """What training reads, and what the catalogue will say of it."""

    def __init__(self, batches: Batches, tokenizer: Any, tokenizer_folder: Path, manifest: bytes):
        self.batches = batches
        self.tokenizer = tokenizer
        self.tokenizer_folder = tokenizer_folder
        self.tokenizer_sha256 = tokenizer_sha256(tokenizer_folder)
        self.manifest_sha256 = hashlib.sha256(manifest).hexdigest()


def prepare_data(
    job: dict[str, Any],
    workdir: Path,
    events: Events,
    interruption: Interruption,
    resume_tokenizer: Path | None,
) -> Data:
    """Everything is refused here that the data could make go wrong later, before a device is touched."""
    corpora, context = job["data"]["corpora"], job["model"]["contextTokens"]

    def progress_of(phase: str, first: float = 0.0, whole: float = 1.0) -> Callable[[float], None]:
        """Says how far a part of a phase is, and stops when a signal asks for it."""

        def on_progress(part: float) -> None:
            interruption.stop_if_asked(events)
            if events.progress_due():
                events.progress(phase, (first + part) / whole)

        return on_progress

    def warn_of_damage(what: str) -> None:
        events.emit("warning", code="shard-damaged", detail=f"the shard {what}; made again from the text")

    sources, hashes = _check_sources(corpora, workdir, progress_of("inputs"))
    events.progress("tokenizer", 0.0)
    folder = workdir / "tokenizer"
    tokenizer, files = _tokenizer(
        job, corpora, sources, hashes, workdir, folder, resume_tokenizer, progress_of("tokenizer", whole=2)
    )
    events.emit(
        "tokenizer",
        dir="tokenizer",
        files=files,
        sha256=tokenizer_sha256(folder),
        vocabSize=tokenizer.get_vocab_size(),
        corpora=measure(tokenizer, corpora, sources, progress_of("tokenizer", first=1, whole=2)),
    )
    mix = job["data"].get("mix")
    wanted = [corpus for corpus in corpora if mix is None or mix.get(corpus["id"], 0) > 0]
    tokenised = []
    for number, corpus in enumerate(wanted):
        tokenised.append(
            tokenise(
                sources[corpus["id"]],
                hashes[corpus["id"]],
                corpus,
                tokenizer,
                tokenizer_sha256(folder),
                workdir / "data" / corpus["id"],
                progress_of("tokenise", number, len(wanted)),
                warn_of_damage,
            )
        )
    batches = make_batches(tokenised, mix, job["seeds"]["dataOrder"], context, job["training"]["batchSequences"])
    manifest = manifest_of(batches, tokenizer_sha256(folder))
    data = manifest_bytes(manifest)
    write_file(workdir / MANIFEST, data)
    events.emit(
        "manifest",
        path=MANIFEST,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        shards=[
            {"corpus": corpus["id"], "tokens": shard["tokens"], "sha256": shard["sha256"]}
            for corpus in manifest["corpora"]
            for shard in corpus["shards"]
        ],
        firstBatches=manifest["firstBatches"],
    )
    return Data(batches, tokenizer, folder, data)


def _check_sources(
    corpora: list[dict[str, Any]], workdir: Path, on_progress: Callable[[float], None]
) -> tuple[dict[str, Path], dict[str, str]]:
    sources = {corpus["id"]: input_file(workdir, corpus["path"], "data.corpora") for corpus in corpora}
    hashes: dict[str, str] = {}
    size, before = sum(source.stat().st_size for source in sources.values()), 0
    for corpus in corpora:
        name = corpus["id"]
        already = before
        hashes[name] = sha256_file(sources[name], lambda done, already=already: on_progress((already + done) / size))
        before += sources[name].stat().st_size
        if corpus.get("sha256") not in (None, hashes[name]):
            detail = f"data.corpora: {name} is not the text that the job names, its sha256 is {hashes[name]}"
            raise Refused("corpus-changed", detail, "data.corpora")
        if sources[name].stat().st_size == 0:
            raise Refused("corpus-empty", f"data.corpora: {name} is empty", "data.corpora")
    return sources, hashes


def _tokenizer(
    job: dict[str, Any],
    corpora: list[dict[str, Any]],
    sources: dict[str, Path],
    hashes: dict[str, str],
    workdir: Path,
    folder: Path,
    resume_tokenizer: Path | None,
    on_progress: Callable[[float], None],
) -> tuple[Any, list[dict[str, Any]]]:
    spec, context = job["tokenizer"], job["model"]["contextTokens"]
    made_from = {"spec": spec, "corpora": [[corpus["id"], hashes[corpus["id"]]] for corpus in corpora]}
    made = resume_tokenizer or (workdir / spec["path"] if spec["kind"] == "folder" else None)
    made = made or _made_before(folder, workdir / TOKENIZER_RECORD, made_from)
    tokenizer = load_tokenizer(made) if made is not None else train_tokenizer(spec, corpora, sources, on_progress)
    if job["model"]["family"] in MASKED_FAMILIES and tokenizer.token_to_id(MASK) is None:
        raise Refused(
            "bad-tokenizer",
            f"tokenizer.path: has no token {MASK}, which a masked model needs",
            "tokenizer.path",
        )
    files = save_tokenizer(tokenizer, folder, context, made)
    record = {"madeFrom": made_from, "sha256": tokenizer_sha256(folder)}
    write_file(workdir / TOKENIZER_RECORD, json.dumps(record).encode())
    return tokenizer, files


def _made_before(folder: Path, record: Path, made_from: dict[str, Any]) -> Path | None:
    """The tokenizer that an earlier process trained here from the same texts, so that it is not trained again."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        if found["madeFrom"] == made_from and found["sha256"] == tokenizer_sha256(folder):
            return folder
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def read_data(workdir: Path) -> Data:
    """What another process of the team has prepared in this workdir."""
    manifest = (workdir / MANIFEST).read_bytes()
    batches = batches_of_manifest(json.loads(manifest), workdir / "data", verify=False)
    folder = workdir / "tokenizer"
    return Data(batches, load_tokenizer(folder), folder, manifest)
