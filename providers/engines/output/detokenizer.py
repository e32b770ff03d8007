"""From token ids to text: whole characters, and no special tokens."""

from __future__ import annotations

import codecs
import functools
import json
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Decoder", "Vocabulary"]

_SPM_SPACE = "\u2581"


class Decoder(Protocol):
    """The incremental detokeniser of one answer."""

    def add(self, token: int) -> str:
        """The text that this token completes; may be empty."""
        ...

    def flush(self) -> str:
        """The text left at the end: U+FFFD for bytes that never became a character."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether every character that began has ended, so that nothing is left. True if that is unknown."""
        ...


class Vocabulary:
    """The bytes of every token, with which each answer's decoder works.

    Byte-level BPE and SentencePiece vocabularies are read as bytes and decoded by Python's incremental UTF-8
    decoder: a character leaves when its last byte arrives, and U+FFFD stands only for invalid bytes. (mlx-lm's
    detokenisers drop a first space, turn byte 0 into a letter and hold back real U+FFFD characters.) Any other
    vocabulary is decoded by mlx-lm's naive detokeniser.
    """

    def __init__(self, tokenizer: Any, *, markup: frozenset[int] = frozenset()) -> None:
        """`tokenizer`: mlx-lm's `TokenizerWrapper`. `markup`: special tokens whose text the output parser reads."""
        self._tokenizer = tokenizer
        self.special = frozenset(_special_ids(tokenizer))
        self._silent = self.special - markup
        to_bytes, self._strip_first_space = _decoder_kind(tokenizer)
        self._bytes = _token_bytes(tokenizer, to_bytes, self.special) if to_bytes else None
        self._marked = self._bytes and _with_markup(self._bytes, tokenizer, markup)

    def piece(self, token: int) -> tuple[str, bytes]:
        """(text, bytes) of one token by itself, special or not; U+FFFD for bytes that are not characters."""
        if token in self.special:
            raw = str(self._tokenizer.convert_ids_to_tokens(token)).encode()
        elif self._bytes is None:
            raw = str(self._tokenizer.decode([token])).encode()
        else:
            raw = self._bytes[token] if token < len(self._bytes) else b""
        return raw.decode(errors="replace"), raw

    def decoder(self, *, markup: bool = False) -> Decoder:
        """`markup`: include the text of the markup's tokens; other special tokens never have any."""
        token_bytes = self._marked if markup else self._bytes
        if token_bytes is None:
            return _NaiveDecoder(self._tokenizer, self._silent if markup else self.special)
        return _BytesDecoder(token_bytes, strip_first_space=self._strip_first_space)


class _BytesDecoder:
    __slots__ = ("_bytes", "_strip", "_utf8")

    def __init__(self, token_bytes: list[bytes], *, strip_first_space: bool) -> None:
        self._bytes = token_bytes
        self._strip = strip_first_space
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        # Logits can be wider than the vocabulary, and a padding id has no text.
        text = self._utf8.decode(self._bytes[token]) if token < len(self._bytes) else ""
        if self._strip and text:
            self._strip = False
            return text.removeprefix(" ")
        return text

    def flush(self) -> str:
        return self._utf8.decode(b"", True)

    @property
    def is_whole(self) -> bool:
        return not self._utf8.getstate()[0]


class _NaiveDecoder:
    __slots__ = ("_detokenizer", "_special")

    is_whole = True

    def __init__(self, tokenizer: Any, special: frozenset[int]) -> None:
        from mlx_lm.tokenizer_utils import NaiveStreamingDetokenizer

        naive: Any = NaiveStreamingDetokenizer
        self._detokenizer = naive(tokenizer._tokenizer)
        self._special = special

    def add(self, token: int) -> str:
        if token in self._special:
            return ""
        self._detokenizer.add_token(token)
        return str(self._detokenizer.last_segment)

    def flush(self) -> str:
        self._detokenizer.finalize()
        return str(self._detokenizer.last_segment)


def _special_ids(tokenizer: Any) -> set[int]:
    special = set(tokenizer.all_special_ids) | set(tokenizer.eos_token_ids)
    special.update(id for id, token in tokenizer.added_tokens_decoder.items() if token.special)
    return special


def _decoder_kind(tokenizer: Any) -> tuple[Callable[[str], bytes] | None, bool]:
    """(what reads a token as bytes, if anything; whether the decoder drops the first space of an answer)."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None, False
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    steps = decoder["decoders"] if decoder.get("type") == "Sequence" else [decoder]
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"]:
        return _byte_level_bytes, False
    if kinds[:2] == ["Replace", "ByteFallback"] and steps[0].get("pattern") == {"String": _SPM_SPACE}:
        return _spm_bytes, "Strip" in kinds
    return None, False


def _token_bytes(tokenizer: Any, to_bytes: Callable[[str], bytes], special: frozenset[int]) -> list[bytes]:
    """The bytes of every id: none for special tokens and unused ids, their literal text for added tokens."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    table = [b""] * (max(vocabulary.values(), default=-1) + 1)
    added = tokenizer.added_tokens_decoder
    for token, id in vocabulary.items():
        if id not in special:
            table[id] = added[id].content.encode() if id in added else to_bytes(token)
    return table


def _with_markup(table: list[bytes], tokenizer: Any, markup: frozenset[int]) -> list[bytes]:
    if not markup:
        return table
    added = tokenizer.added_tokens_decoder
    marked = list(table)
    for id in markup:
        marked[id] = added[id].content.encode()
    return marked


def _byte_level_bytes(token: str) -> bytes:
    alphabet = _byte_level_alphabet()
    try:
        return bytes([alphabet[char] for char in token])
    except KeyError:
        return token.encode()


def _spm_bytes(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace(_SPM_SPACE, " ").encode()


@functools.cache
def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable characters for bytes: printable bytes stand for themselves, the others start at U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet.update({chr(256 + offset): byte for offset, byte in enumerate(others)})
    return alphabet
