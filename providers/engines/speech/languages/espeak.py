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
_MOST_HEARD = 4_000_000
"""Most characters of lines and their phonemes that are kept. A line is as long as one word, if that is longer than
`_LONGEST`."""


@attrs.frozen
class _Token:
    start: int
    end: int
    text: str
    """What espeak reads; empty for a mark."""
    mark: str = ""


@attrs.frozen
class _Clause:
    """Words that are read together."""

    numbers: list[int]
    """Of the tokens."""
    texts: list[str]

    @property
    def line(self) -> str:
        return " ".join(self.texts)


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
        self._heard_characters = 0

    def normalize(self, text: Mapped) -> Mapped:
        return in_words(text, self._rules, self._scripts)

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        found = sentences_of(normalized)
        # The program runs for all sentences together, because its start takes longer than a sentence.
        self._hear([clause for sentence in found for clause in _clauses(list(_tokens(sentence.text)))])
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
        clauses = list(_clauses(tokens))
        self._hear(clauses)
        found = [""] * len(tokens)
        for clause in clauses:
            for number, phonemes in zip(clause.numbers, self._divided(clause), strict=True):
                found[number] = phonemes
        return found

    def _divided(self, clause: _Clause) -> list[str]:
        phonemes = self._heard[clause.line]
        if _is_plain(clause, phonemes):
            return phonemes.split(" ")
        return divided(phonemes, [self._heard[text] for text in clause.texts])

    def _hear(self, clauses: Sequence[_Clause]) -> None:
        """Have in `_heard` the phonemes of the clauses, and those of single words where they are needed to divide."""
        if self._heard_characters > _MOST_HEARD:
            self._heard.clear()
            self._heard_characters = 0
        self._hear_lines(clause.line for clause in clauses)
        self._hear_lines(
            text for clause in clauses if not _is_plain(clause, self._heard[clause.line]) for text in clause.texts
        )

    def _hear_lines(self, lines: Iterable[str]) -> None:
        missing = [line for line in dict.fromkeys(lines) if line not in self._heard]
        for at in range(0, len(missing), _MOST_LINES):
            some = missing[at : at + _MOST_LINES]
            for line, ipa in zip(some, self._program.ipa(some, self._voice), strict=True):
                self._heard[line] = phonemes = kokoro_phonemes(ipa)
                self._heard_characters += len(line) + len(phonemes)


def _is_plain(clause: _Clause, phonemes: str) -> bool:
    """Whether each word of a clause, which has no number, became one word of phonemes."""
    return not any(map(str.isdecimal, clause.line)) and len(phonemes.split(" ")) == len(clause.texts)


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token[0].isalnum():
            yield _Token(match.start(), match.end(), token.replace("’", "'"))
        elif token in MARKS:
            yield _Token(match.start(), match.end(), "", MARKS[token])


def _clauses(tokens: Sequence[_Token]) -> Iterator[_Clause]:
    """The tokens between pauses."""
    numbers: list[int] = []
    length = 0
    for number, token in enumerate(tokens):
        if numbers and (token.mark in PAUSES or length + len(token.text) > _LONGEST):
            yield _Clause(numbers, [tokens[number].text for number in numbers])
            numbers, length = [], 0
        if token.text:
            numbers.append(number)
            length += len(token.text) + 1
    if numbers:
        yield _Clause(numbers, [tokens[number].text for number in numbers])
