"""Whisper's tokens: OpenAI's two vocabularies, their special tokens, and the words that tokens form.

After whisper/tokenizer.py, Copyright OpenAI, MIT License (see NOTICE). mlx-audio, whose model is used, reads tokens
with the files of a Hugging Face tokenizer instead, which the folders that mlx-whisper wrote lack.
"""

from __future__ import annotations

import base64
import gzip
import string
from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import attrs
import tiktoken
from mlx_audio.stt.models.whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

__all__ = ["Task", "Tokenizer", "get_tokenizer"]

Task = Literal["transcribe", "translate"]

_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_TIMESTAMPS = 1501
"""Every 20 ms of thirty seconds, both ends included."""
_REPLACEMENT = "\ufffd"
"""Decoding tokens that end within a character gives this one."""
_WITHOUT_SPACES = frozenset(["zh", "ja", "th", "lo", "my", "yue"])
"""Languages without spaces between words: each character counts as a word."""
_MARKS = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))", "[[", "]]", "{{", "}}"),
    *("♪♪", "♪♪♪"),
)
_NOTES = frozenset("♩♪♫♬♭♮♯")
"""If one of these is several tokens, the first is suppressed, which all of them share."""


@attrs.frozen(slots=False)
class Tokenizer:
    """Tokens of one model, for one language and task."""

    encoding: tiktoken.Encoding
    num_languages: int
    language: str | None
    """Code; None for a model of English only."""
    task: Task | None

    def encode(self, text: str) -> list[int]:
        """The tokens of a text. Names of special tokens are text too."""
        return self.encoding.encode_ordinary(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without timestamps."""
        return self.encoding.decode([token for token in tokens if token < self.timestamp_begin])

    def decode_with_timestamps(self, tokens: Sequence[int]) -> str:
        """Text with timestamps in the form `<|1.08|>`."""
        return self.encoding.decode(list(tokens))

    def split_to_word_tokens(self, tokens: Sequence[int]) -> tuple[list[str], list[list[int]]]:
        """Words, and the tokens of each."""
        pieces, tokens_of = self._characters(tokens)
        if self.language in _WITHOUT_SPACES:
            return pieces, tokens_of
        words: list[str] = []
        tokens_of_words: list[list[int]] = []
        for piece, own in zip(pieces, tokens_of, strict=True):
            is_new = own[0] >= self.eot or piece.startswith(" ") or piece.strip() in string.punctuation
            if is_new or not words:
                words.append(piece)
                tokens_of_words.append(own)
            else:
                words[-1] += piece
                tokens_of_words[-1].extend(own)
        return words, tokens_of_words

    def _characters(self, tokens: Sequence[int]) -> tuple[list[str], list[list[int]]]:
        """The least runs of tokens that are whole characters."""
        whole = self.decode_with_timestamps(tokens)
        pieces: list[str] = []
        tokens_of: list[list[int]] = []
        current: list[int] = []
        offset = 0
        for token in tokens:
            current.append(token)
            text = self.decode_with_timestamps(current)
            # The tokens may really stand for a replacement character.
            if _REPLACEMENT not in text or whole[offset + text.index(_REPLACEMENT)] == _REPLACEMENT:
                pieces.append(text)
                tokens_of.append(current)
                current = []
                offset += len(text)
        return pieces, tokens_of

    def _special(self, name: str) -> int:
        return self.encoding.encode_single_token(f"<|{name}|>")

    @cached_property
    def eot(self) -> int:
        return self.encoding.eot_token

    @cached_property
    def sot(self) -> int:
        return self._special("startoftranscript")

    @cached_property
    def sot_lm(self) -> int:
        return self._special("startoflm")

    @cached_property
    def sot_prev(self) -> int:
        return self._special("startofprev")

    @cached_property
    def transcribe(self) -> int:
        return self._special("transcribe")

    @cached_property
    def translate(self) -> int:
        return self._special("translate")

    @cached_property
    def no_speech(self) -> int:
        return self._special("nospeech")

    @cached_property
    def no_timestamps(self) -> int:
        return self._special("notimestamps")

    @cached_property
    def timestamp_begin(self) -> int:
        return self._special("0.00")

    @property
    def language_token(self) -> int:
        """Raises ValueError for a model of English only."""
        if self.language is None:
            raise ValueError("this tokenizer has no languages")
        return self._special(self.language)

    @cached_property
    def all_language_codes(self) -> tuple[str, ...]:
        return tuple(LANGUAGES)[: self.num_languages]

    @cached_property
    def all_language_tokens(self) -> tuple[int, ...]:
        return tuple(self._special(code) for code in self.all_language_codes)

    @cached_property
    def sot_sequence(self) -> tuple[int, ...]:
        """The tokens with which a transcript begins."""
        sequence = [self.sot]
        if self.language is not None:
            sequence.append(self.language_token)
        if self.task is not None:
            sequence.append(self.transcribe if self.task == "transcribe" else self.translate)
        return tuple(sequence)

    @cached_property
    def sot_sequence_including_notimestamps(self) -> tuple[int, ...]:
        return (*self.sot_sequence, self.no_timestamps)

    @cached_property
    def non_speech_tokens(self) -> tuple[int, ...]:
        """Tokens to suppress, so that transcripts have no speaker tags and no sounds: `[DAVID]`, `(APPLAUSE)`, `♪♪♪`.

        Hyphens and apostrophes are suppressed only at the start of a word.
        """
        suppressed = {self.encode(" -")[0], self.encode(" '")[0]}
        for mark in (*_MARKS, *_NOTES):
            for tokens in (self.encode(mark), self.encode(f" {mark}")):
                if len(tokens) == 1 or mark in _NOTES:
                    suppressed.add(tokens[0])
        return tuple(sorted(suppressed))


@cache
def get_tokenizer(
    multilingual: bool, *, num_languages: int = 99, language: str | None = None, task: Task | None = None
) -> Tokenizer:
    """The tokenizer of a model. `language`: a code or an English name; None for English.

    Raises:
        ValueError: Whisper does not know the language.
    """
    if language is not None:
        language = language.lower()
        language = TO_LANGUAGE_CODE.get(language, language)
        if language not in LANGUAGES:
            raise ValueError(f"Unsupported language: {language}")
    if not multilingual:
        return Tokenizer(_encoding("gpt2", num_languages), num_languages, language=None, task=None)
    encoding = _encoding("multilingual", num_languages)
    return Tokenizer(encoding, num_languages, language=language or "en", task=task or "transcribe")


@cache
def _encoding(vocabulary: str, num_languages: int) -> tiktoken.Encoding:
    packed = files("providers.engines.transcription").joinpath("vocabularies", f"{vocabulary}.tiktoken.gz").read_bytes()
    lines = (line.split() for line in gzip.decompress(packed).splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    specials = (
        *("endoftext", "startoftranscript"),
        *tuple(LANGUAGES)[:num_languages],
        *("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"),
        *(f"{place * 0.02:.2f}" for place in range(_TIMESTAMPS)),
    )
    return tiktoken.Encoding(
        name=f"{vocabulary}.tiktoken",
        explicit_n_vocab=len(ranks) + len(specials),
        pat_str=_PATTERN,
        mergeable_ranks=ranks,
        special_tokens={f"<|{name}|>": len(ranks) + place for place, name in enumerate(specials)},
    )
