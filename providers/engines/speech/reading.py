"""From passages to chunks with phonemes, each with the stretch of the input that it says."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence

import attrs

from providers.engines.speech.markup.document import passages
from providers.engines.speech.markup.marks import NOTES, PARAGRAPH_REST, Marks, Passage, Sound
from providers.engines.speech.markup.own_words import OwnWords
from providers.engines.speech.partition import Part, partition, unspoken
from providers.engines.speech.text.alphabet import to_phonemes
from providers.engines.speech.text.g2p import Chunk, Phonemizer, is_sound
from providers.engines.speech.text.mapped import Mapped
from providers.engines.speech.text.stress import apply_stress
from providers.speech.types import InputFormat, Unspoken

__all__ = ["Said", "read"]

_NOTE = re.compile(f"[{NOTES}]")
_PLAIN_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_STAND_IN = "Name"
"""What the phonemizer reads in place of a word with given phonemes that is not plain letters."""
_POSSESSIVE = re.compile(r"['’]s")
_WORD = re.compile(r"\w(?:.*\w)?[\u0300-\u036f\u0900-\u0903\u093a-\u0957\u0962\u0963]*", re.DOTALL)
"""From the first letter to the last with its marks."""


@attrs.frozen
class _Placed:
    """A chunk, and its place in its sentence."""

    chunk: Chunk
    start: int
    end: int


@attrs.frozen
class Said:
    """What is said of an input, and what became of each of its characters."""

    sentences: list[list[Chunk]]
    parts: list[Part]
    unspoken: list[Unspoken]


def read(
    source: str,
    phonemizer: Phonemizer,
    vocabulary: Container[str],
    input_format: InputFormat | None = None,
    lexicons: Sequence[OwnWords] = (),
) -> Said:
    """Read an input. Its sentences are chunks with phonemes and the stretches that they say.

    Args:
        lexicons: the first that has a word decides its sound.

    Raises:
        InvalidRequest: a mark of the text, or a sound that the client gives, is wrong.
    """
    marks = Marks()
    reading = _Reading(source, marks, phonemizer, vocabulary, lexicons)
    sentences = [
        sentence
        for passage in passages(source, input_format, marks, english=phonemizer.english)
        for sentence in reading.sentences(passage)
    ]
    words = [(chunk.start_char, chunk.end_char) for sentence in sentences for chunk in sentence if chunk.word]
    parts = partition(source, words, marks.silent)
    return Said(sentences, parts, unspoken(source, parts))


class _Reading:
    """Reads the passages of one input."""

    def __init__(
        self,
        source: str,
        marks: Marks,
        phonemizer: Phonemizer,
        vocabulary: Container[str],
        lexicons: Sequence[OwnWords],
    ) -> None:
        self._source = source
        self._marks = marks
        self._phonemizer = phonemizer
        self._vocabulary = vocabulary
        self._lexicons = lexicons
        self._phonemes: dict[str, str] = {}
        for lexicon in lexicons:
            for sound in lexicon.unchecked:
                self._known(sound)

    def sentences(self, passage: Passage) -> list[list[Chunk]]:
        """The sentences of a passage. The last chunk has the rest that follows it.

        Raises:
            InvalidRequest: phonemes that the client gives are not in the alphabet.
        """
        text = passage.text
        for lexicon in self._lexicons:
            text = lexicon.marked(text, self._marks)
        found = [
            sentence
            for words in self._phonemizer.sentences(self._phonemizer.normalize(text))
            if (sentence := self._chunks(words))
        ]
        found = _apart(found, self._source)
        if self._marks.levels:
            found = [[self._stressed(chunk) for chunk in sentence] for sentence in found]
        if passage.pauses and not found:
            found = [[Chunk("", "", "")]]
        if found and (passage.pauses or passage.rest >= PARAGRAPH_REST):
            found[-1][-1] = attrs.evolve(found[-1][-1], rest=passage.rest, pauses=passage.pauses)
        return found

    def _chunks(self, sentence: Mapped) -> list[Chunk]:
        """The chunks of a sentence, with their offsets."""
        spoken, notes = self._with_stand_ins(sentence)
        placed = list(_placed(spoken.text, self._phonemizer(spoken.text)))
        for start, end, sound in notes:
            placed = self._with_sound(placed, spoken.text, start, end, sound)
        return [_mapped(each, spoken) for each in placed]

    def _with_stand_ins(self, sentence: Mapped) -> tuple[Mapped, list[tuple[int, int, Sound]]]:
        """The sentence with words in place of notes, and where they are."""
        parts: list[Mapped] = []
        notes: list[tuple[int, int, Sound]] = []
        at = length = 0
        for note in _NOTE.finditer(sentence.text):
            sound = self._marks.sound(note[0])
            word = sound.written if _PLAIN_WORD.fullmatch(sound.written) else _STAND_IN
            length += note.start() - at
            notes.append((length, length + len(word), sound))
            length += len(word)
            first, last = sentence.stretch(note.start(), note.end())
            parts += [sentence[at : note.start()], Mapped.made_of(word, first, last)]
            at = note.end()
        return (Mapped.joined([*parts, sentence[at:]]), notes) if parts else (sentence, notes)

    def _with_sound(self, placed: list[_Placed], sentence: str, start: int, end: int, sound: Sound) -> list[_Placed]:
        """Give the chunks from `start` to `end` of the sentence, as one chunk, the phonemes of a sound."""
        over = [number for number, each in enumerate(placed) if each.start < end and each.end > start]
        if not over:
            return placed
        first, last = placed[over[0]], placed[over[-1]]
        before, after = sentence[first.start : start], sentence[end : last.end]
        possessive = _POSSESSIVE.match(after)
        word = sound.written + ("" if possessive is None else possessive[0])
        phonemes = self._known(sound)
        if possessive is not None:
            phonemes += "s" if phonemes[-1] in "ptkfθ" else "ᵻz" if phonemes[-1] in "szʃʒʧʤ" else "z"
        opening = "".join(_leading(first.chunk.phonemes))
        closing = "".join(reversed(list(_leading(last.chunk.phonemes[::-1]))))
        chunk = Chunk(before + sound.written + after, word, opening + phonemes + closing)
        placed[over[0] : over[-1] + 1] = [_Placed(chunk, first.start, last.end)]
        return placed

    def _known(self, sound: Sound) -> str:
        if sound.phonemes not in self._phonemes:
            english = self._phonemizer.english
            self._phonemes[sound.phonemes] = to_phonemes(sound, self._vocabulary, english=english)
        return self._phonemes[sound.phonemes]

    def _stressed(self, chunk: Chunk) -> Chunk:
        level = self._marks.levels.get(chunk.start_char)
        if level is None or not chunk.word:
            return chunk
        return attrs.evolve(chunk, phonemes=apply_stress(chunk.phonemes, level))


def _leading(phonemes: str) -> Iterator[str]:
    """The symbols without a sound that phonemes begin with."""
    for symbol in phonemes:
        if is_sound(symbol):
            return
        yield symbol


def _placed(sentence: str, chunks: Sequence[Chunk]) -> Iterator[_Placed]:
    at = 0
    for chunk in chunks:
        start = max(at, sentence.find(chunk.text, at))
        at = min(len(sentence), start + len(chunk.text))
        yield _Placed(chunk, start, at)


def _mapped(placed: _Placed, sentence: Mapped) -> Chunk:
    """The chunk with its offsets in the input."""
    chunk, start, end = placed.chunk, placed.start, placed.end
    if start == end:
        return chunk
    first, last = sentence.stretch(start, end)
    word = _WORD.search(sentence.text[start:end]) if chunk.word else None
    if word is None:
        return attrs.evolve(chunk, first_char=first, last_char=last, start_char=last, end_char=last)
    begin, finish = sentence.stretch(start + word.start(), start + word.end())
    return attrs.evolve(chunk, first_char=first, last_char=last, start_char=begin, end_char=finish)


def _apart(sentences: list[list[Chunk]], source: str) -> list[list[Chunk]]:
    """The chunks with what they say as it was written. Stretches that overlap become one, which their words share."""
    shared: list[tuple[int, int]] = []
    for chunk in (chunk for sentence in sentences for chunk in sentence if chunk.word):
        start, end = chunk.start_char, chunk.end_char
        while shared and start < shared[-1][1] and shared[-1][0] < end:
            first, last = shared.pop()
            start, end = min(start, first), max(end, last)
        shared.append((start, end))
    stretches = iter(shared)
    start, end = next(stretches, (0, 0))
    spread = []
    for sentence in sentences:
        row = []
        for chunk in sentence:
            if chunk.word:
                while not (start <= chunk.start_char and chunk.end_char <= end):
                    start, end = next(stretches)
                first, last = min(chunk.first_char, start), max(chunk.last_char, end)
                chunk = attrs.evolve(
                    chunk,
                    written=source[start:end],
                    start_char=start,
                    end_char=end,
                    first_char=first,
                    last_char=last,
                )
            row.append(chunk)
        spread.append(row)
    return spread
