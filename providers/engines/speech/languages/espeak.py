"""Languages that espeak-ng reads: Spanish, French, Italian, Portuguese and Hindi."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence

import attrs

from providers.engines.speech.languages.alignment import divided
from providers.engines.speech.languages.espeak_alphabet import kokoro_phonemes
from providers.engines.speech.languages.espeak_program import EspeakProgram
from providers.engines.speech.languages.espeak_words import rules
from providers.engines.speech.languages.plain import in_words, sentences_of
from providers.engines.speech.languages.words import MARKS, Part, collect
from providers.engines.speech.text.g2p import PAUSES, Chunk
from providers.engines.speech.text.mapped import Mapped

__all__ = ["EspeakLanguage"]

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*[ºª%]?"  # a number with the marks within it
    r"|[^\W\d_](?:[\w\u0300-\u036f\u0900-\u0963\u0966-\u097f]|['’.@/-](?=\w))*['’]?"  # a word, or an address
    r"|\S"
)
_LONGEST = 300
"""Most characters of a line for espeak."""
_MOST_LINES = 500
"""Most lines of one run."""
_MOST_HEARD = 10_000
"""Most lines whose phonemes are kept."""


@attrs.frozen
class _Token:
    start: int
    end: int
    text: str
    """What espeak reads; empty for a mark."""
    mark: str = ""


class EspeakLanguage:
    """Reads a language by espeak-ng, a clause at a time, so that words are linked and stressed as in speech.

    Args:
        vocabulary: the phonemes that the model knows.
        voice: espeak's name of the language.
        scripts: those that the language reads, as in Unicode's names of their letters.
    """

    def __init__(
        self, vocabulary: Container[str], program: EspeakProgram, *, voice: str, scripts: Sequence[str]
    ) -> None:
        self.english = False
        self._vocabulary = vocabulary
        self._program = program
        self._voice = voice
        self._scripts = tuple(scripts)
        self._rules = rules(voice[:2])
        self._heard: dict[str, str] = {}

    def normalize(self, text: Mapped) -> Mapped:
        return in_words(text, self._rules, self._scripts)

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        found = sentences_of(normalized)
        # One run of the program for all sentences, whose start takes longer than a sentence.
        self._hear(line for sentence in found for line in _lines(list(_tokens(sentence.text))))
        return found

    def __call__(self, sentence: str) -> list[Chunk]:
        tokens = list(_tokens(sentence))
        read = self._read(tokens)
        parts = [
            Part(token.start, token.end, "", token.mark)
            if token.mark
            else Part(token.start, token.end, sentence[token.start : token.end], phonemes)
            for token, phonemes in zip(tokens, read, strict=True)
        ]
        return collect(sentence, parts, self._vocabulary)

    def _read(self, tokens: Sequence[_Token]) -> list[str]:
        """The phonemes of each token; none for marks."""
        self._hear(_lines(tokens))
        found = [""] * len(tokens)
        for clause in _clauses(tokens):
            texts = [tokens[number].text for number in clause]
            phonemes = self._heard[" ".join(texts)]
            parts = [phonemes] if len(texts) == 1 else divided(phonemes, [self._heard[text] for text in texts])
            for number, part in zip(clause, parts, strict=True):
                found[number] = part
        return found

    def _hear(self, lines: Iterable[str]) -> None:
        """Have all lines in `_heard`."""
        wanted = dict.fromkeys(lines)
        if len(self._heard) > _MOST_HEARD:
            self._heard.clear()
        missing = [line for line in wanted if line not in self._heard]
        for at in range(0, len(missing), _MOST_LINES):
            some = missing[at : at + _MOST_LINES]
            ipa = self._program.ipa(some, self._voice)
            self._heard.update(zip(some, map(kokoro_phonemes, ipa), strict=True))


def _lines(tokens: Sequence[_Token]) -> Iterator[str]:
    """What espeak reads of a sentence: its clauses, and each of their words by itself."""
    for clause in _clauses(tokens):
        texts = [tokens[number].text for number in clause]
        yield " ".join(texts)
        yield from texts


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token[0].isalnum():
            yield _Token(match.start(), match.end(), token.replace("’", "'"))
        elif token in MARKS:
            yield _Token(match.start(), match.end(), "", MARKS[token])


def _clauses(tokens: Sequence[_Token]) -> Iterator[list[int]]:
    """Numbers of the tokens that are read together: those between pauses."""
    clause: list[int] = []
    length = 0
    for number, token in enumerate(tokens):
        if clause and (token.mark in PAUSES or length + len(token.text) > _LONGEST):
            yield clause
            clause, length = [], 0
        if token.text:
            clause.append(number)
            length += len(token.text) + 1
    if clause:
        yield clause
