"""Text, tokens and their order: the same on every machine, and nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from beamtime_runner import corpus, words
from beamtime_runner.batches import batch_sha256, batches_of_manifest
from beamtime_runner.corpus import END_OF_TEXT, read_pieces, tokenise
from beamtime_runner.encode import Encoder
from beamtime_runner.order import SLOTS, DataOrder, permute, quotas
from beamtime_runner.refusals import Refused
from beamtime_runner.tokenizer import train_tokenizer
from conftest import Workdir, made_up_text, of_kind, train_job


@given(size=st.integers(1, 5000), label=st.text(max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_keyed_permutation_is_one(size: int, label: str) -> None:
    assert sorted(permute(np.arange(size), size, label).tolist()) == list(range(size))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40).filter(lambda weights: sum(weights) > 1e-3))
@settings(max_examples=200, deadline=None)
def test_shares_fill_the_table_and_forget_nobody(weights: list[float]) -> None:
    slots = quotas(weights)
    assert sum(slots) == SLOTS
    assert all((count > 0) == (weight > 0) for count, weight in zip(slots, weights, strict=True))


@given(
    windows=st.lists(st.integers(1, 300), min_size=1, max_size=4), start=st.integers(0, 3000), count=st.integers(1, 200)
)
@settings(max_examples=60, deadline=None)
def test_a_slot_does_not_depend_on_what_was_asked_before(windows: list[int], start: int, count: int) -> None:
    order = DataOrder(7, [str(i) for i in range(len(windows))], windows, quotas([1.0] * len(windows)))
    corpora, chosen = order.locate(start, count)
    for i in range(0, count, 17):
        one_corpus, one_window = order.locate(start + i, 1)
        assert (one_corpus[0], one_window[0]) == (corpora[i], chosen[i])


def test_every_window_comes_once_in_each_epoch() -> None:
    order = DataOrder(3, ["a", "b"], [700, 150], quotas([3.0, 1.0]))
    corpora, windows = order.locate(0, 8 * SLOTS)
    for number, size in enumerate((700, 150)):
        drawn = windows[corpora == number]
        for epoch in range(len(drawn) // size):
            assert sorted(drawn[epoch * size : (epoch + 1) * size].tolist()) == list(range(size))
    for slots in (0, 1, 1000, SLOTS, 5000):
        assert order.drawn(slots) == [Counter(corpora[:slots].tolist())[i] for i in (0, 1)]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300))
@settings(max_examples=100, deadline=None)
def test_pieces_add_up_to_the_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("pieces") / "text.txt"
    path.write_bytes(text.encode())
    whole = corpus.PIECE_BYTES
    try:
        corpus.PIECE_BYTES = 16  # so that lines and characters are cut
        pieces = list(read_pieces(path, "text", "x"))
    finally:
        corpus.PIECE_BYTES = whole
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.starts_document for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    for piece in pieces:
        after = list(read_pieces(path, "text", "x", piece.end))
        assert "".join(part.text for part in after) == text.encode()[piece.end :].decode()


@given(st.text(st.sampled_from("ab\né日🙂"), max_size=200), st.sampled_from([4, 8, 33]), st.sampled_from([1, 7, 1000]))
@settings(max_examples=300, deadline=None)
def test_a_piece_is_as_many_lines_as_fit(
    tmp_path_factory: pytest.TempPathFactory, text: str, fits: int, read: int
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "text.txt"
    path.write_bytes(text.encode())
    expected, pending = [], b""
    with path.open("rb") as file:  # line by line, which is slow but plain
        while True:
            line = file.readline(fits)
            if not line or len(pending) + len(line) > fits:
                piece = pending.decode(errors="ignore")
                expected.append(piece)
                pending = pending[len(piece.encode()) :]
            if not line:
                break
            pending += line
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "PIECE_BYTES", fits)
        patch.setattr(corpus, "READ_BYTES", read)
        assert [piece.text for piece in read_pieces(path, "text", "x")] == [piece for piece in expected if piece]


def test_a_zero_byte_after_a_character_that_was_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("日".encode() * corpus.PIECE_BYTES + b"\0" + "日".encode() * corpus.PIECE_BYTES)
    with pytest.raises(Refused, match=f"byte {3 * corpus.PIECE_BYTES} is a zero byte"):
        list(read_pieces(path, "text", "x"))


@pytest.mark.parametrize("kind", ["bpe", "unigram", "byte"])
def test_a_tokenizer_is_the_same_each_time_and_loses_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(made_up_text(300), encoding="utf-8")
    spec = {"kind": kind} if kind == "byte" else {"kind": kind, "vocabSize": 500}
    entry = {"id": "x", "language": "mul", "script": "Latn"}
    first, second = (train_tokenizer(spec, [entry], {"x": path}) for _ in range(2))
    assert first.to_str() == second.to_str()
    assert first.get_vocab_size() == (258 if kind == "byte" else 500)
    for text in ("bamilo ke", "naïve 日本語 🙂\n\n\tend  ", " \x07"):
        assert first.decode(first.encode(text).ids) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_larger_than_the_corpus_allows_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a b a b a b\n", encoding="utf-8")
    with pytest.raises(Refused) as refused:
        train_tokenizer({"kind": kind, "vocabSize": 5000}, [{"id": "x"}], {"x": path})
    assert (refused.value.code, refused.value.field) == ("vocabulary-too-large", "tokenizer.vocabSize")


TRICKY = [
    *" \t\n\r\x0b\x0c\x1c\x85\xa0\u180e\u2003\u200b\u3000\ufeffab'stdre.!12é日\u0301",
    "  ",
    "<|endoftext|>",
    "'ll",
    *("x" * length for length in (6, 7, 14, 15, 16, 30, 31, 32, 191, 192, 193)),
]


@pytest.fixture(scope="module")
def small_tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    path = tmp_path_factory.mktemp("tokenizers") / "text.txt"
    path.write_text(made_up_text(200) + "  \n\n" * 50, encoding="utf-8")
    return [
        train_tokenizer({"kind": kind, "vocabSize": 400}, [{"id": "x"}], {"x": path}) for kind in ("bpe", "unigram")
    ] + [train_tokenizer({"kind": "byte"}, [], {})]


@given(texts=st.lists(st.lists(st.sampled_from(TRICKY), max_size=30).map("".join), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_remembered_words_give_the_ids_of_the_tokenizer(small_tokenizers: list[Any], texts: list[str]) -> None:
    for tokenizer in small_tokenizers:
        encoder = Encoder(tokenizer, "uint16")
        assert encoder.by_words
        theirs = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        for _ in range(2):  # words that are new, and words that are known
            assert [np.frombuffer(ids, "<u2").tolist() for ids in encoder.encode(texts)] == theirs


def test_words_are_forgotten_when_they_are_too_many(
    small_tokenizers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "WORDS_MAX", 500)
    encoder = Encoder(small_tokenizers[0], "uint16")
    for seed in range(6):
        draw = random.Random(seed)
        texts = [" ".join(str(draw.randrange(10 ** draw.randrange(1, 40))) for _ in range(300)) for _ in range(2)]
        theirs = [encoding.ids for encoding in small_tokenizers[0].encode_batch(texts, add_special_tokens=False)]
        assert [np.frombuffer(ids, "<u2").tolist() for ids in encoder.encode(texts)] == theirs


def test_a_tokenizer_that_cuts_otherwise_is_asked_for_whole_texts(small_tokenizers: list[Any]) -> None:
    about = json.loads(small_tokenizers[0].to_str())
    about["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    other = Tokenizer.from_str(json.dumps(about))
    encoder = Encoder(other, "uint16")
    assert not encoder.by_words
    assert np.frombuffer(encoder.encode(["ba  ke lo"])[0], "<u2").tolist() == other.encode("ba  ke lo").ids


def tokenised(folder: Path, source: Path, shard_bytes: int, monkeypatch: Any, stop_after: float = 2) -> Any:
    monkeypatch.setattr(corpus, "SHARD_TEXT_BYTES", shard_bytes)
    monkeypatch.setattr(corpus, "PIECE_BYTES", 512)
    monkeypatch.setattr(corpus, "BLOCK_PIECES", 2)
    tokenizer = train_tokenizer({"kind": "byte"}, [], {})
    entry = {"id": "x", "language": "mul", "script": "Latn"}

    def on_progress(fraction: float) -> None:
        if fraction > stop_after:
            raise InterruptedError

    return tokenise(source, "0" * 64, entry, tokenizer, "0" * 64, folder, on_progress)


def test_tokenising_cut_off_goes_on_and_gives_the_same_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "text.txt"
    source.write_text(made_up_text(500), encoding="utf-8")
    whole = tokenised(tmp_path / "whole", source, 4096, monkeypatch)
    with pytest.raises(InterruptedError):
        tokenised(tmp_path / "cut", source, 4096, monkeypatch, stop_after=0.5)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cut").glob("*.uint16")}
    again = tokenised(tmp_path / "cut", source, 4096, monkeypatch)
    assert len(before) > 2
    assert again.shards == whole.shards
    assert {name: (tmp_path / "cut" / name).stat().st_mtime_ns for name in before} == before, "none was written again"
    tokenizer = train_tokenizer({"kind": "byte"}, [], {})
    ids = whole.read(0, whole.tokens).tolist()
    assert ids[0] == tokenizer.token_to_id(END_OF_TEXT)
    assert tokenizer.decode(ids[1:]) == source.read_text(encoding="utf-8")


def test_each_line_of_json_is_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "text.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("one\ntwo", "três", "x" * 50_000)))
    tokenizer = train_tokenizer({"kind": "byte"}, [], {})
    entry = {"id": "x", "language": "mul", "script": "Latn", "format": "jsonl"}
    made = tokenise(source, "0" * 64, entry, tokenizer, "0" * 64, tmp_path / "x", lambda _: None)
    documents = tokenizer.decode(made.read(0, made.tokens).tolist(), skip_special_tokens=False).split(END_OF_TEXT)
    assert documents == ["", "one\ntwo", "três", "x" * 50_000]


def two_corpora(workdir: Workdir) -> dict[str, Any]:
    (workdir.path / "inputs" / "other.txt").write_text(made_up_text(200, seed=8), encoding="utf-8")
    corpora = [
        {"id": "a", "path": "inputs/text.txt", "language": "deu", "script": "Latn"},
        {"id": "b", "path": "inputs/other.txt", "language": "rus", "script": "Cyrl"},
    ]
    return {"corpora": corpora, "mix": {"a": 3, "b": 1}}


def test_the_batch_of_any_step_follows_from_the_manifest_alone(workdir: Workdir) -> None:
    events = workdir.run(train_job(data=two_corpora(workdir)))
    manifest = json.loads((workdir.path / "manifest.json").read_text())
    batches = batches_of_manifest(manifest, workdir.path / "data")
    assert [batch_sha256(batches.rows(step)) for step in range(4)] == of_kind(events, "manifest")[0]["firstBatches"]
    chain = [json.loads(line) for line in (workdir.path / "proof" / "chain.jsonl").read_text().splitlines()]
    learnt = [record for record in chain if "batch" in record]
    assert len(learnt) == 24
    for record in learnt:
        assert record["batch"] == batch_sha256(batches.rows(record["step"] - 1))
    for step in (0, 11, 23, 1000, 123_456):  # long after the first epoch too
        by_hand = batch_by_hand(manifest, workdir.path / "data", step)
        assert np.array_equal(batches.rows(step), by_hand)
        assert step >= 24 or hashlib.sha256(by_hand.tobytes()).hexdigest() == learnt[step]["batch"]
    shares = [entry["share"] for entry in of_kind(events, "resolved")[0]["data"]["corpora"]]
    assert shares == [0.75, 0.25]


def batch_by_hand(manifest: dict[str, Any], data: Path, step: int) -> np.ndarray:
    """Written from the description of the order, not with its code: no numpy arithmetic, no shared function."""
    seed, context, rows = manifest["order"]["seed"], manifest["contextTokens"], manifest["batchSequences"]
    table_size, corpora = manifest["order"]["slotsPerTable"], manifest["corpora"]

    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    def permuted(index: int, size: int, label: str) -> int:
        digest = hashlib.sha512(f"beamtime-order/1:{label}".encode()).digest()
        half = max(1, (max(1, size - 1).bit_length() + 1) // 2)
        while True:
            left, right = index >> half, index % 2**half
            for number in range(6):
                key = int.from_bytes(digest[8 * number : 8 * number + 8], "little")
                left, right = right, left ^ mix(right ^ key) % 2**half
            index = left << half | right
            if index < size:
                return index

    by_position = [number for number, corpus in enumerate(corpora) for _ in range(corpus["slots"])]
    table = [by_position[permuted(slot, table_size, f"{seed}:table")] for slot in range(table_size)]
    batch = []
    for slot in range(step * rows, (step + 1) * rows):
        turn, place = divmod(slot, table_size)
        number = table[place]
        corpus = corpora[number]
        draw = turn * corpus["slots"] + table[:place].count(number)
        epoch, at = divmod(draw, corpus["windows"])
        window = permuted(at, corpus["windows"], f"{seed}:{corpus['sha256']}:{epoch}")
        tokens = [np.fromfile(data / corpus["id"] / shard["path"], corpus["dtype"]) for shard in corpus["shards"]]
        batch.append(np.concatenate(tokens)[window * context : (window + 1) * context + 1])
    return np.array(batch, dtype="<u4")


def test_a_missing_or_changed_shard_is_named(workdir: Workdir) -> None:
    workdir.run(train_job())
    manifest = json.loads((workdir.path / "manifest.json").read_text())
    shard = workdir.path / "data" / "made-up" / manifest["corpora"][0]["shards"][0]["path"]
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(Refused, match="damaged"):
        batches_of_manifest(manifest, workdir.path / "data")
    shard.unlink()
    with pytest.raises(Refused, match="missing"):
        batches_of_manifest(manifest, workdir.path / "data")


@pytest.mark.parametrize("damage", ["missing", "shorter", "other"])
def test_a_damaged_shard_is_made_again_when_the_run_goes_on(damage: str, workdir: Workdir) -> None:
    first = workdir.run(train_job())
    shutil.rmtree(workdir.path / "resumable" / "step24")
    shard = next((workdir.path / "data" / "made-up").glob("*.uint16"))
    whole = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(whole[:-4] if damage == "shorter" else whole[::-1])
    again = workdir.run(train_job())
    assert [event["code"] for event in of_kind(again, "warning")] == ["shard-damaged"]
    assert shard.read_bytes() == whole
    assert again[-1]["weightsSha256"] == first[-1]["weightsSha256"]


@pytest.mark.parametrize("damage", ["missing", "shorter", "other", "the same"])
def test_a_shard_that_changes_under_a_run_stops_it_and_the_same_bytes_do_not(damage: str, workdir: Workdir) -> None:
    workdir.run(train_job())
    manifest = json.loads((workdir.path / "manifest.json").read_text())
    batches = batches_of_manifest(manifest, workdir.path / "data")
    shard = next((workdir.path / "data" / "made-up").glob("*.uint16"))
    whole = shard.read_bytes()
    before = [] if damage == "missing" else batches.rows(0).tolist()  # a file that is open would still be read
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes({"shorter": whole[:100], "other": whole[::-1], "the same": whole}[damage])
        os.utime(shard, ns=(1, 1))
    if damage == "the same":
        assert batches.rows(0).tolist() == before
        return
    with pytest.raises(Refused) as refused:
        batches.rows(0)
    assert refused.value.code == ("shard-missing" if damage == "missing" else "shard-changed")


def test_a_text_that_changes_while_it_is_tokenised_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "text.txt"
    source.write_text(made_up_text(200), encoding="utf-8")
    tokenizer = train_tokenizer({"kind": "byte"}, [], {})
    entry = {"id": "x", "language": "mul", "script": "Latn"}

    def on_progress(_: float) -> None:
        source.write_text("another", encoding="utf-8")

    with pytest.raises(Refused) as refused:
        tokenise(source, "0" * 64, entry, tokenizer, "0" * 64, tmp_path / "x", on_progress)
    assert (refused.value.code, refused.value.field) == ("corpus-changed", "data.corpora")


def test_tokenising_killed_and_started_again_gives_the_same_shards(
    workdir: Workdir, new_workdir: Callable[[str], Workdir], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = made_up_text(40_000)
    (workdir.path / "inputs" / "text.txt").write_text(text, encoding="utf-8")
    program = (
        "import sys; from beamtime_runner import corpus; corpus.SHARD_TEXT_BYTES, corpus.BLOCK_PIECES = 200_000, 2; "
        "from beamtime_runner.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    job = train_job(training={"steps": 2, "batchSequences": 4, "learningRate": 1e-3})
    command = [sys.executable, "-c", program, *workdir.command(job)[3:]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list((workdir.path / "data").glob("*/*.uint16"))) < 3:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (workdir.path / "manifest.json").exists(), "it was killed in the middle"
    kept = {path.name: path.stat().st_mtime_ns for path in (workdir.path / "data" / "made-up").glob("0000[01].uint16")}
    monkeypatch.setattr(corpus, "SHARD_TEXT_BYTES", 200_000)
    again = of_kind(workdir.run(job), "manifest")[0]
    assert len(kept) == 2
    assert kept == {name: (workdir.path / "data" / "made-up" / name).stat().st_mtime_ns for name in kept}
    other = new_workdir("undisturbed")
    (other.path / "inputs" / "text.txt").write_text(text, encoding="utf-8")
    assert of_kind(other.run(job), "manifest")[0]["sha256"] == again["sha256"]


def test_all_sizes_and_initialisations_see_the_same_data(tmp_path: Path) -> None:
    small = train_job(training={"steps": 2, "batchSequences": 4, "learningRate": 1e-3})
    large = {
        **small,
        "model": {**small["model"], "hiddenSize": 48, "layers": 3},
        "seeds": {"initialisation": 9, "dataOrder": 2},
    }
    other = {**small, "seeds": {"initialisation": 1, "dataOrder": 3}}
    first, second, third = (
        of_kind(Workdir(tmp_path / str(number)).run(job), "manifest")[0]
        for number, job in enumerate((small, large, other))
    )
    assert first["sha256"] == second["sha256"]
    assert first["firstBatches"] != third["firstBatches"]
    assert first["shards"] == third["shards"]


MEASURE = """
import resource, sys
from pathlib import Path
from beamtime_runner.corpus import tokenise
from beamtime_runner.tokenizer import train_tokenizer
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
entry = {"id": "x", "language": "mul", "script": "Latn"}
tokenizer = train_tokenizer({"kind": "byte"}, [], {})
before = peak()
tokenise(Path(sys.argv[1]), "0" * 64, entry, tokenizer, "0" * 64, Path(sys.argv[2]), lambda _: None)
print(peak() - before)
"""


def test_the_name_of_a_corpus_does_not_change_the_order_of_its_text(tmp_path: Path) -> None:
    weights = []
    for name in ("one", "another"):
        job = train_job(training={"steps": 6})
        job["data"]["corpora"][0]["id"] = name
        events = Workdir(tmp_path / name).run(job)
        weights += [event["weightsSha256"] for event in of_kind(events, "done")]
    assert len(weights) == 2 and weights[0] == weights[1]


def test_tokenising_takes_memory_for_a_block_and_not_for_the_corpus(tmp_path: Path) -> None:
    line = made_up_text(200).replace("\n", " ") + "\n"
    source = tmp_path / "text.txt"
    with source.open("w", encoding="utf-8") as file:
        while file.tell() < 12_000_000:
            file.write(line)
    command = [sys.executable, "-c", MEASURE, str(source), str(tmp_path / "shards")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000_000, "12 MB of text are 12 million tokens; as lists of numbers, 400 MB"
