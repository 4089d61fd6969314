"""The HTTP wire: each family trained, then served and asked."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from transformers import AutoModelForCausalLM, AutoTokenizer

from beamtime_runner.schema import check
from conftest import Workdir, train_job

TOKEN = "a-secret-of-this-process"
TEXT = "bamilo keshamita nuquris. Lotrévö shaum"


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path):
        self.process, self.port, self.folder = process, port, folder

    def call(self, path: str, body: Any = None, token: str | None = TOKEN, raw: bytes | None = None) -> tuple[int, Any]:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        if token is not None:
            request.add_header("authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                content, kind = response.read(), response.headers["content-type"]
                status = response.status
        except urllib.error.HTTPError as error:
            content, kind, status = error.read(), error.headers["content-type"], error.code
        if kind == "application/octet-stream":
            return status, content
        if kind == "application/jsonl":
            return status, [json.loads(line) for line in content.splitlines()]
        answer = json.loads(content)
        if status != 200:
            check(answer, "serve.json", "serveProblem")
        return status, answer

    def ask(self, path: str, body: Any, wire: str | None = None) -> Any:
        status, answer = self.call(path, body)
        assert status == 200, answer
        if wire is not None:
            check(answer, "serve.json", wire)
        return answer


def serve_job(revisions: list[str], **options: Any) -> dict[str, Any]:
    return {
        "schema": "beamtime.runner-job/1",
        "kind": "serve",
        "jobId": "job_serve",
        "attempt": 1,
        "revisions": [{"revision": name, "path": f"checkpoints/{name}"} for name in revisions],
        "serve": options,
    }


def start_server(workdir: Workdir, revisions: list[str], **options: Any) -> Server:
    process = workdir.start(serve_job(revisions, **options), BEAMTIME_SERVE_TOKEN=TOKEN)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["kind"] == "ready":
            return Server(process, event["port"], workdir.path / "checkpoints" / revisions[-1])
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workdir = Workdir(tmp_path_factory.mktemp("serve") / "work")
    workdir.run(train_job(checkpoints={"schedule": [0, 8]}))
    server = start_server(workdir, ["step0", "step8", "step24"], loadedRevisionsMax=2)
    yield server
    server.process.send_signal(signal.SIGTERM)
    out, err = server.process.communicate(timeout=30)
    assert server.process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["kind"] == "done"


def reference(server: Server, ids: list[int]) -> torch.Tensor:
    model: Any = AutoModelForCausalLM.from_pretrained(server.folder)
    with torch.inference_mode():
        return torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0], dim=-1)


def token_ids(server: Server, text: str = TEXT) -> list[int]:
    return server.ask("/tokenize", {"texts": [text]}, "tokenizeResponse")["results"][0]["tokenIds"]


def test_each_call_but_health_demands_the_token(server: Server) -> None:
    assert server.call("/health", token=None)[0] == 200
    for path, body in (("/tokenizer_info", None), ("/completions", {"prompts": ["a"]})):
        assert server.call(path, body, token=None)[0] == 401
        assert server.call(path, body, token="a-wrong-token")[0] == 401


def test_log_probabilities_are_those_of_plain_transformers(server: Server) -> None:
    ids = token_ids(server)
    request = {"prompts": [ids], "maxTokens": 0, "echo": True, "logprobs": 1, "temperature": 0}
    choice = server.ask("/completions", request, "completionsResponse")["choices"][0]
    expected = reference(server, ids)
    assert choice["tokenLogprobs"][0] is None
    for position, token in enumerate(ids[1:]):
        assert choice["tokenLogprobs"][position + 1] == pytest.approx(expected[position, token].item(), abs=1e-5)
    assert choice["text"] == TEXT


def test_the_contract_of_lm_eval_holds(server: Server) -> None:
    ids = token_ids(server)
    request = {"prompts": [ids, ids[:4]], "temperature": 0, "maxTokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    for choice, given in zip(server.ask("/completions", request)["choices"], (ids, ids[:4]), strict=True):
        assert len(choice["tokenLogprobs"]) == len(given) + 1  # exactly one generated token follows
        assert choice["tokenLogprobs"][0] is None
        assert choice["topLogprobs"][0] is None
        best = choice["topLogprobs"][-1][0]
        assert choice["tokenLogprobs"][-1] == best["logprob"]  # greedy is tested by equality of floats
        assert choice["tokenIds"][-1] == best["tokenId"]


def test_generation_with_the_cache_equals_generation_without(server: Server) -> None:
    ids = token_ids(server)
    choice = server.ask("/completions", {"prompts": [ids], "maxTokens": 8, "temperature": 0})["choices"][0]
    grown = list(ids)
    for token in choice["tokenIds"]:
        assert token == int(reference(server, grown)[-1].argmax())
        grown.append(token)


def test_the_same_seed_gives_the_same_text_whatever_else_is_asked(server: Server) -> None:
    request = {"prompts": [TEXT, "ba"], "maxTokens": 10, "temperature": 1.0, "topP": 0.9, "seed": 7}
    both = server.ask("/completions", request)["choices"]
    alone = server.ask("/completions", {**request, "prompts": [TEXT]})["choices"][0]
    assert both[0]["tokenIds"] == alone["tokenIds"]
    assert server.ask("/completions", {**request, "seed": 8})["choices"][0]["tokenIds"] != alone["tokenIds"]


def test_a_stream_adds_up_to_the_whole_answer(server: Server) -> None:
    request = {"prompts": [TEXT], "maxTokens": 12, "temperature": 0.8, "seed": 3, "logprobs": 2}
    whole = server.ask("/completions", request)["choices"][0]
    chunks = server.ask("/completions", {**request, "stream": True})
    for chunk in chunks:
        check(chunk, "serve.json", "completionsChunk")
    texts = [chunk for chunk in chunks if chunk["kind"] == "text"]
    for name in ("tokenIds", "tokenLogprobs", "textOffsets"):
        assert [value for chunk in texts for value in chunk[name]] == whole[name]
    assert "".join(chunk["text"] for chunk in texts) == whole["text"]
    assert [chunk["kind"] for chunk in chunks[-2:]] == ["finish", "end"]


def test_a_stop_string_ends_the_text_before_it(server: Server) -> None:
    request = {"prompts": [TEXT], "maxTokens": 12, "temperature": 0}
    text = server.ask("/completions", request)["choices"][0]["text"]
    stop = text[3:5]
    for options in ({"stop": [stop]}, {"stop": [stop], "echo": True}):
        choice = server.ask("/completions", {**request, **options})["choices"][0]
        assert choice["finishReason"] == "stop"
        assert choice["text"] == ("" if "echo" not in options else TEXT) + text[: text.index(stop)]


def test_tokens_of_any_text_spell_it_again(server: Server) -> None:
    text = "naïve 日本語 🙂\n\tend"
    answer = server.ask("/tokenize", {"texts": [text]}, "tokenizeResponse")["results"][0]
    back = server.ask("/detokenize", {"tokenIds": [answer["tokenIds"]]}, "detokenizeResponse")
    assert back["texts"] == [text]
    assert answer["offsets"][-1][1] == len(text)
    assert AutoTokenizer.from_pretrained(server.folder)(text)["input_ids"] == answer["tokenIds"]


def test_tokenizer_info_names_the_special_tokens(server: Server) -> None:
    status, info = server.call("/tokenizer_info?revision=step0")
    assert status == 200
    check(info, "serve.json", "tokenizerInfo")
    assert info["eosToken"] == "<|endoftext|>"


def test_surprisal_of_tokens_adds_up_to_the_text(server: Server) -> None:
    ids = token_ids(server)
    body = {"items": [{"text": TEXT}], "unit": "token", "base": "e", "entropy": True, "rank": True}
    item = server.ask("/surprisal", body, "surprisalResponse")["items"][0]
    expected = reference(server, [0, *ids])  # 0 is the end-of-text token, which stands before each text
    for position, unit in enumerate(item["units"]):
        row = expected[position]
        assert unit["surprisal"] == pytest.approx(-row[ids[position]].item(), abs=1e-5)
        assert unit["entropy"] == pytest.approx(-(row.exp() * row).sum().item(), abs=1e-4)
        assert unit["rank"] == int((row > row[ids[position]]).sum()) + 1
    uncorrected = server.ask("/surprisal", {"items": [{"text": TEXT}], "wordCorrection": False})["items"][0]
    assert uncorrected["total"] * math.log(2) == pytest.approx(item["total"], abs=1e-4)
    assert [unit["text"] for unit in uncorrected["units"]] == TEXT.split()
    characters = server.ask("/surprisal", {"items": [{"text": TEXT}], "unit": "character"})["items"][0]
    assert characters["total"] == pytest.approx(uncorrected["total"], abs=1e-4)
    assert len(characters["units"]) == len(TEXT)


def test_the_word_correction_is_the_mass_of_tokens_that_begin_a_word(server: Server) -> None:
    answer = server.ask("/tokenize", {"texts": [TEXT]})["results"][0]
    corrected = server.ask("/surprisal", {"items": [{"text": TEXT}], "base": "e"})["items"][0]["units"]
    plain = server.ask("/surprisal", {"items": [{"text": TEXT}], "base": "e", "wordCorrection": False})
    tokenizer = AutoTokenizer.from_pretrained(server.folder)
    begins = torch.tensor(
        [tokenizer.decode([i])[:1].isspace() or i == tokenizer.eos_token_id for i in range(len(tokenizer))]
    )
    mass = reference(server, [0, *answer["tokenIds"]])[:, begins].logsumexp(dim=-1)
    at = 0
    for number, (unit, bare) in enumerate(zip(corrected, plain["items"][0]["units"], strict=True)):
        before = mass[at].item() if number else 0.0
        at += len(unit["tokenIds"])
        assert unit["surprisal"] == pytest.approx(bare["surprisal"] + before - mass[at].item(), abs=1e-4)


def test_spans_take_whole_tokens_or_are_refused(server: Server) -> None:
    space = TEXT.index(" ")
    body = {"items": [{"text": TEXT, "spans": [[0, space], [space, len(TEXT)]]}], "unit": "span"}
    item = server.ask("/surprisal", body)["items"][0]
    whole = server.ask("/surprisal", {"items": [{"text": TEXT}], "unit": "token"})["items"][0]
    assert item["total"] == pytest.approx(whole["total"], abs=1e-4)
    body["items"][0]["spans"] = [[0, 10_000]]
    assert server.call("/surprisal", body)[0] == 400


def test_text_longer_than_the_context_is_scored_by_windows(server: Server) -> None:
    long = TEXT * 12
    item = server.ask("/surprisal", {"items": [{"text": long}], "unit": "token"})["items"][0]
    assert item["tokens"] > 64
    assert all(math.isfinite(unit["surprisal"]) for unit in item["units"])


def test_a_capture_costs_exactly_what_was_estimated(server: Server) -> None:
    body = {"input": {"text": TEXT}, "sites": ["blocks.*.hook_resid_post", "blocks.1.attn.hook_pattern"]}
    for options in ({}, {"positions": "last"}, {"positions": [0, 3], "dtype": "float16"}):
        plan = server.ask("/capture/estimate", {**body, **options}, "captureEstimate")
        tensors = load(server.ask("/capture", {**body, **options}))
        assert sorted(tensors) == sorted(row["site"] for row in plan["tensors"])
        for row in plan["tensors"]:
            assert list(tensors[row["site"]].shape) == row["shape"]
        assert plan["activationBytes"] == sum(tensor.nbytes for tensor in tensors.values())


def test_revisions_beyond_the_limit_are_dropped_and_loaded_again(server: Server) -> None:
    request = {"prompts": [TEXT], "maxTokens": 4, "temperature": 0, "logprobs": 1}
    first = [server.ask("/completions", {**request, "revision": name}) for name in ("step0", "step8", "step24")]
    again = [server.ask("/completions", {**request, "revision": name}) for name in ("step0", "step8", "step24")]
    assert first == again
    assert len({answer["receipt"]["weightsSha256"] for answer in first}) == 3
    health = server.call("/health")[1]
    check(health, "serve.json", "serveHealth")
    assert sum(entry["loaded"] for entry in health["revisions"]) == 2


def test_embeddings_are_pooled_states(server: Server) -> None:
    answer = server.ask("/embeddings", {"inputs": [TEXT, [1, 2, 3]], "pooling": "mean"}, "embeddingsResponse")
    assert [len(vector) for vector in answer["embeddings"]] == [32, 32]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        ("/completions", {"prompts": []}, 400, "bad-request", "prompts"),
        ("/completions", {"prompts": ["a"], "tempreature": 1}, 400, "bad-request", "tempreature"),
        ("/completions", {"prompts": [[999_999]]}, 400, "bad-request", "prompts.0"),
        ("/completions", {"prompts": ["a"], "maxTokens": 33}, 422, "context-exceeded", "prompts.0"),
        ("/completions", {"prompts": ["a"], "revision": "step9"}, 404, "unknown-revision", "revision"),
        ("/capture", {"input": {"text": "a"}, "sites": ["blocks.9.hook_resid_post"]}, 422, "unknown-site", "sites.0"),
        (
            "/capture",
            {"input": {"text": "a"}, "sites": ["hook_embed"], "positions": [7]},
            400,
            "bad-request",
            "positions",
        ),
        ("/nowhere", {}, 404, "unknown-call", None),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    server: Server, path: str, body: Any, status: int, code: str, field: str | None
) -> None:
    got, problem = server.call(path, body)
    assert (got, problem["code"], problem.get("field")) == (status, code, field)


def test_a_body_that_is_no_json_is_refused(server: Server) -> None:
    assert server.call("/completions", raw=b"{")[1]["code"] == "bad-request"
    assert server.call("/completions", raw=b"\xff\xfe")[1]["code"] == "bad-request"


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "bert"])
def test_the_other_families_are_served_too(family: str, workdir: Workdir) -> None:
    workdir.run(train_job(family, checkpoints={"schedule": [24]}))
    server = start_server(workdir, ["step24"])
    try:
        ids = token_ids(server)
        if family == "bert":
            assert server.call("/completions", {"prompts": [ids]})[1]["code"] == "not-causal"
        else:
            test_generation_with_the_cache_equals_generation_without(server)
            test_log_probabilities_are_those_of_plain_transformers(server)
        server.ask("/surprisal", {"items": [{"text": TEXT}]}, "surprisalResponse")
        server.ask("/capture", {"input": {"text": TEXT}, "sites": ["blocks.*.hook_resid_post"]})
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=30)


def test_serve_refuses_to_start_without_a_token(workdir: Workdir) -> None:
    workdir.run(train_job(checkpoints={"schedule": [24]}))
    os.environ.pop("BEAMTIME_SERVE_TOKEN", None)
    events = workdir.run(serve_job(["step24"]), code=2)
    assert events[-1]["code"] == "no-token"
