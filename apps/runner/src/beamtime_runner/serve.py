"""Answers over HTTP until told to stop. The wire is `libs/contracts/src/runner-serve.ts`."""

from __future__ import annotations

import hmac
import json
import os
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import environment
from .events import Events
from .interruption import Interruption
from .refusals import Interrupted, Refused
from .revisions import Loaded, Revisions
from .schema import check, load_schema

TOKEN_VARIABLE = "BEAMTIME_SERVE_TOKEN"
TOKEN_CHARS_MIN = 16
REQUESTS_AT_ONCE = 64  # each holds its body in memory
READ_SECONDS = 60  # a client that stops sending loses its connection
CAPTURE_BYTES_MAX = 256 * 1024 * 1024

STATUS_OF_CODE = {
    "unauthorised": 401,
    "unknown-revision": 404,
    "unknown-call": 404,
    "too-large": 413,
    "context-exceeded": 422,
    "not-causal": 422,
    "unknown-site": 422,
    "unknown-family": 422,
    "busy": 503,
    "cannot-load": 503,
    "weights-changed": 503,
}


def serve(job: dict[str, Any], workdir: Path, events: Events, interruption: Interruption) -> None:
    """Runs a job of kind serve: TERM and INT end it as done, USR1 as interrupted."""
    options = job.get("serve", {})
    token = os.environ.get(TOKEN_VARIABLE, "")
    if len(token) < TOKEN_CHARS_MIN:
        raise Refused("no-token", f"{TOKEN_VARIABLE} must hold a secret of at least {TOKEN_CHARS_MIN} characters")
    names = [entry["revision"] for entry in job["revisions"]]
    default = job.get("defaultRevision", names[-1])
    if default not in names:
        raise Refused("bad-job", f"defaultRevision: {default} is not in revisions", "defaultRevision")
    runtime = environment.resolve_runtime(job.get("runtime", {}))
    device = environment.start_torch(runtime)
    dtype = options.get("dtype", "float32")
    revisions = Revisions(job["revisions"], workdir, device, dtype, options.get("loadedRevisionsMax", 4))
    revisions.get(default)  # a model that cannot be loaded is found before the job says that it is ready
    desk = Desk(job, revisions, default, options.get("captureBytesMax", CAPTURE_BYTES_MAX), dtype, device)
    server = _Server((options.get("host", "127.0.0.1"), options.get("port", 0)), _Handler)
    server.desk, server.token = desk, token
    started = time.monotonic()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.server_address[:2]
    events.emit("ready", host=str(host), port=port, revisions=names)
    while not interruption.asked(events):
        interruption.event.wait(1.0)
    server.shutdown()
    if interruption.signal_name == "SIGUSR1":
        raise Interrupted("SIGUSR1")
    wall = time.monotonic() - started
    events.emit("done", wallSeconds=wall, deviceSeconds=wall, peakMemoryBytes=environment.peak_memory_bytes())


class Desk:
    """Takes a checked request and gives the answer; knows nothing of HTTP."""

    def __init__(
        self,
        job: dict[str, Any],
        revisions: Revisions,
        default: str,
        capture_bytes_max: int,
        dtype: str,
        device: Any,
    ):
        self.job, self.revisions, self.default, self.dtype, self.device = (
            job,
            revisions,
            default,
            dtype,
            device,
        )
        self.capture_bytes_max = capture_bytes_max
        self.room = threading.BoundedSemaphore(REQUESTS_AT_ONCE)

    def _loaded(self, request: dict[str, Any]) -> Loaded:
        name = request.get("revision", self.default)
        if name not in self.revisions.entries:
            raise Refused("unknown-revision", f"revision: there is no {name} here", "revision")
        return self.revisions.get(name)

    def health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "jobId": self.job["jobId"],
            "attempt": self.job["attempt"],
            "revisions": [
                {"revision": name, "loaded": self.revisions.is_loaded(name)} for name in self.revisions.entries
            ],
            "defaultRevision": self.default,
            "device": environment.device_name(self.device),
            "dtype": self.dtype,
        }

    def completions(self, request: dict[str, Any]) -> dict[str, Any] | Iterator[dict[str, Any]]:
        from .complete import Settings, check_fits, prompt_ids

        loaded, settings = self._loaded(request), Settings.of(request)
        if loaded.masked:
            raise Refused("not-causal", "revision: a masked model completes no text", "revision")
        prompts = [prompt_ids(loaded, prompt, number) for number, prompt in enumerate(request["prompts"])]
        for number, ids in enumerate(prompts):
            check_fits(loaded, len(ids), settings.max_tokens, number)
        if request.get("stream", False):
            return self._stream(loaded, prompts, settings)
        return self._complete(loaded, prompts, settings)

    def _complete(self, loaded: Loaded, prompts: list[list[int]], settings: Any) -> dict[str, Any]:
        from .complete import Answer, answer, choice

        choices = []
        for number, ids in enumerate(prompts):
            so_far = Answer(len(ids))
            for _token, so_far in answer(loaded, ids, settings, number):
                pass
            choices.append(choice(loaded, so_far, settings, number))
        usage = {
            "promptTokens": sum(entry["promptTokens"] for entry in choices),
            "outputTokens": sum(entry["outputTokens"] for entry in choices),
        }
        return {"choices": choices, "usage": usage, "receipt": loaded.receipt()}

    def _stream(self, loaded: Loaded, prompts: list[list[int]], settings: Any) -> Iterator[dict[str, Any]]:
        from .complete import stream

        output = 0
        for number, ids in enumerate(prompts):
            generated = 0
            for chunk, generated in stream(loaded, ids, settings, number):
                yield chunk
            output += generated
        usage = {"promptTokens": sum(map(len, prompts)), "outputTokens": output}
        yield {"kind": "end", "usage": usage, "receipt": loaded.receipt()}

    def embeddings(self, request: dict[str, Any]) -> dict[str, Any]:
        from .complete import check_fits, prompt_ids
        from .score import embed

        loaded = self._loaded(request)
        inputs = [prompt_ids(loaded, text, number) for number, text in enumerate(request["inputs"])]
        for number, ids in enumerate(inputs):
            check_fits(loaded, len(ids), 0, number)
        vectors = [embed(loaded, ids, request.get("pooling", "mean")) for ids in inputs]
        usage = {"promptTokens": sum(map(len, inputs)), "outputTokens": 0}
        return {"embeddings": vectors, "usage": usage, "receipt": loaded.receipt()}

    def tokenize(self, request: dict[str, Any]) -> dict[str, Any]:
        from .token_text import token_spans

        loaded, results = self._loaded(request), []
        for text in request["texts"]:
            encoding = loaded.encode(text)
            names = [loaded.text.name(number) for number in encoding.ids]
            spans = [list(span) for span in token_spans(loaded.text, text, encoding)]
            results.append({"tokenIds": encoding.ids, "tokens": names, "offsets": spans})
        return {"results": results, "contextTokens": loaded.context_tokens, "receipt": loaded.receipt()}

    def detokenize(self, request: dict[str, Any]) -> dict[str, Any]:
        loaded = self._loaded(request)
        for number, ids in enumerate(request["tokenIds"]):
            if max(ids, default=0) >= len(loaded.text.table):
                field = f"tokenIds.{number}"
                raise Refused("bad-request", f"{field}: {max(ids)} is not in the vocabulary", field)
        texts = [loaded.tokenizer.decode(ids, skip_special_tokens=False) for ids in request["tokenIds"]]
        return {"texts": texts, "receipt": loaded.receipt()}

    def tokenizer_info(self, request: dict[str, Any]) -> dict[str, Any]:
        loaded = self._loaded(request)
        special = loaded.special
        names = ("tokenizerClass", "eosToken", "bosToken", "padToken", "maskToken", "chatTemplate")
        return {
            **{name: special[name] for name in names},
            "vocabSize": loaded.tokenizer.get_vocab_size(),
            "contextTokens": loaded.context_tokens,
            "eosTokenId": loaded.end_of_text,
            "receipt": loaded.receipt(),
        }

    def surprisal(self, request: dict[str, Any]) -> dict[str, Any]:
        from .surprisal import surprisal

        loaded = self._loaded(request)
        items, tokens = surprisal(loaded, request)
        usage = {"promptTokens": tokens, "outputTokens": 0}
        return {"items": items, "base": request.get("base", "2"), "usage": usage, "receipt": loaded.receipt()}

    def _plan(self, request: dict[str, Any]) -> Any:
        from .sites import plan_capture

        return plan_capture(self._loaded(request), request, request["input"])

    def capture_estimate(self, request: dict[str, Any]) -> dict[str, Any]:
        plan = self._plan(request)
        return {
            "activationBytes": plan.activation_bytes,
            "tensors": plan.tensors(),
            "tokens": len(plan.ids),
            "flops": plan.flops,
            "receipt": plan.loaded.receipt(),
        }

    def capture(self, request: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        from .capture import capture_bytes

        plan = self._plan(request)
        if plan.activation_bytes > self.capture_bytes_max:
            detail = f"sites: {plan.activation_bytes} bytes are more than the {self.capture_bytes_max} of one capture"
            raise Refused("too-large", detail, "sites")
        headers = {
            "x-beamtime-activation-bytes": str(plan.activation_bytes),
            "x-beamtime-receipt": json.dumps(plan.loaded.receipt()),
        }
        return capture_bytes(plan), headers


# POST path → method of Desk, and the schema of the request.
CALLS = {
    "/completions": ("completions", "completionsRequest"),
    "/embeddings": ("embeddings", "embeddingsRequest"),
    "/tokenize": ("tokenize", "tokenizeRequest"),
    "/detokenize": ("detokenize", "detokenizeRequest"),
    "/surprisal": ("surprisal", "surprisalRequest"),
    "/capture/estimate": ("capture_estimate", "captureRequest"),
    "/capture": ("capture", "captureRequest"),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    desk: Desk
    token: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = READ_SECONDS
    server: _Server  # type: ignore[assignment] - the class that `serve` starts

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass  # the gateway logs requests, with their ids

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            self._send(self._dispatch(method))
        except Refused as refused:
            self._refuse(refused)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            traceback.print_exception(error)
            self._refuse(Refused("crashed", f"{type(error).__name__}"), 500)

    def _dispatch(self, method: str) -> Any:
        url, desk = urlsplit(self.path), self.server.desk
        if method == "GET" and url.path == "/health":
            return desk.health()
        body = self._body() if method == "POST" else b""
        given = self.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            raise Refused("unauthorised", "the bearer token is missing or wrong")
        if method == "GET" and url.path == "/tokenizer_info":
            revision = parse_qs(url.query).get("revision")
            return desk.tokenizer_info({"revision": revision[0]} if revision else {})
        if method != "POST" or url.path not in CALLS:
            raise Refused("unknown-call", f"there is no {method} {url.path}")
        name, definition = CALLS[url.path]
        try:
            request = json.loads(body)
        except (ValueError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("bad-request", "the body is not JSON") from error
        check(request, "serve.json", definition, code="bad-request")
        if not desk.room.acquire(blocking=False):
            raise Refused("busy", f"{REQUESTS_AT_ONCE} requests are being answered")
        try:
            return getattr(desk, name)(request)
        finally:
            desk.room.release()

    def _body(self) -> bytes:
        limit = load_schema("serve-limits.json")["bodyBytes"]
        try:
            size = int(self.headers.get("content-length", ""))
        except ValueError as error:
            self.close_connection = True
            raise Refused("bad-request", "the header Content-Length is missing") from error
        if not 0 <= size <= limit:
            self.close_connection = True  # the body stays unread
            raise Refused("too-large", f"the body has {size} bytes, and {limit} are allowed")
        return self.rfile.read(size)

    def _send(self, answer: Any) -> None:
        if isinstance(answer, tuple):
            data, headers = answer
            self._write(200, "application/octet-stream", data, headers)
        elif isinstance(answer, dict):
            self._write(200, "application/json", json.dumps(answer, ensure_ascii=False, allow_nan=False).encode())
        else:
            self._send_lines(answer)

    def _send_lines(self, lines: Iterator[dict[str, Any]]) -> None:
        """JSON lines in HTTP chunks; a fault in mid-answer becomes the last line."""
        self.send_response(200)
        self.send_header("content-type", "application/jsonl")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for line in lines:
                self._chunk(line)
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            traceback.print_exception(error)
            self._chunk({"kind": "failed", "problem": {"code": "crashed", "detail": type(error).__name__}})
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _refuse(self, refused: Refused, status: int | None = None) -> None:
        problem = {"code": refused.code, "detail": refused.detail}
        if refused.field is not None:
            problem["field"] = refused.field
        data = json.dumps(problem, ensure_ascii=False).encode()
        self._write(status or STATUS_OF_CODE.get(refused.code, 400), "application/problem+json", data)

    def _write(self, status: int, content_type: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(data)
