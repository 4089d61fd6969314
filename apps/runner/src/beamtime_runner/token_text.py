"""What each token of a vocabulary says, in bytes; text, offsets and word boundaries follow from that."""

from __future__ import annotations

import codecs
import json
import re
from functools import cached_property
from typing import Any

_BYTE_TOKEN = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's map from printable characters to bytes, inverted."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return alphabet | {chr(256 + number): byte for number, byte in enumerate(others)}


class TokenText:
    """Bytes of the tokens of a `tokenizers.Tokenizer`: byte-level, sentencepiece-like or word pieces."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        description = json.loads(tokenizer.to_str())
        self.special = {token["id"] for token in description["added_tokens"] if token["special"]}
        self._added = {token["id"] for token in description["added_tokens"]}
        decoder = json.dumps(description.get("decoder") or {})
        self._byte_level = '"ByteLevel"' in decoder
        self._word_pieces = '"WordPiece"' in decoder

    @cached_property
    def table(self) -> list[bytes]:
        """The bytes of every token; none for special tokens, which stand for no text."""
        alphabet = _byte_level_alphabet()
        return [self._bytes_of(number, alphabet) for number in range(self._tokenizer.get_vocab_size())]

    def _bytes_of(self, number: int, alphabet: dict[str, int]) -> bytes:
        token = self._tokenizer.id_to_token(number)
        if token is None or number in self.special:
            return b""
        if number in self._added:
            return token.encode()
        if self._byte_level and all(character in alphabet for character in token):
            return bytes(alphabet[character] for character in token)
        if match := _BYTE_TOKEN.match(token):
            return bytes([int(match[1], 16)])
        if self._word_pieces:
            return (token[2:] if token.startswith("##") else f" {token}").encode()
        return token.replace("▁", " ").encode()

    def name(self, number: int) -> str:
        """The token as OpenAI shows it: its text, or its bytes when they are no whole characters."""
        if number in self.special:
            return self._tokenizer.id_to_token(number)
        data = self.table[number] if number < len(self.table) else b""
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def text(self, ids: list[int]) -> str:
        return b"".join(self.table[number] for number in ids).decode(errors="replace")

    def spell(self, ids: list[int]) -> tuple[str, list[int]]:
        """The text, and where each token begins in it, in code points."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        parts, offsets, length = [], [], 0
        for number in ids:
            offsets.append(length)
            part = decoder.decode(self.table[number])
            parts.append(part)
            length += len(part)
        parts.append(decoder.decode(b"", final=True))
        return "".join(parts), offsets


def token_spans(token_text: TokenText, text: str, encoding: Any) -> list[tuple[int, int]]:
    """Start and end of each token in the text, in code points, with the spaces that belong to it."""
    pieces = [token_text.table[number] for number in encoding.ids]
    if b"".join(pieces) != text.encode():
        return [(start, end) for start, end in encoding.offsets]  # a tokenizer that changes the text
    starts: list[int] = []
    at = 0
    for piece in pieces:
        starts.append(at)
        at += sum(1 for byte in piece if byte & 0xC0 != 0x80)
    return list(zip(starts, [*starts[1:], at], strict=True))
