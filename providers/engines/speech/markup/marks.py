"""What the marks of a text mean to the voice, and the passages that remain when the marks are taken out."""

from __future__ import annotations

import attrs

from providers.engines.speech.text.mapped import Mapped
from providers.errors import InvalidRequest

__all__ = ["LINE_REST", "NOTES", "PARAGRAPH_REST", "PAUSES", "Marks", "Passage", "Sound", "is_note"]

NOTES = "\U000f0000-\U000ffffd"
"""Characters of which each stands for a word whose sound is given, as a set of a regular expression has them."""
PAUSES = "\U00100000-\U0010fffd"
"""Characters of which each stands for a pause."""
_FIRST_NOTE, _FIRST_PAUSE, _MOST = 0xF0000, 0x100000, 0xFFFD

MAX_PAUSE = 10.0
"""Seconds of the longest pause that a mark can ask for."""
LINE_REST = 0.3
PARAGRAPH_REST = 0.6
"""Seconds of silence after a line that is a sentence of its own, and after a paragraph."""


@attrs.frozen
class Sound:
    """A word whose phonemes the client gives."""

    written: str
    phonemes: str
    param: str = "input"
    """The parameter that has the phonemes."""
    position: int = 0
    """Offset of the phonemes in that parameter."""


@attrs.define
class Marks:
    """What was found in a text beside its words. Offsets are those of the input."""

    silent: list[tuple[int, int]] = attrs.field(factory=list)
    """Stretches that are not said."""
    levels: dict[int, float] = attrs.field(factory=dict)
    """How words are stressed, in the levels of `apply_stress`, by the offsets of their characters."""
    _sounds: list[Sound] = attrs.field(factory=list)
    _pauses: list[float] = attrs.field(factory=list)

    def note(self, sound: Sound) -> str:
        """The character that stands for a word with this sound."""
        _check_count(self._sounds, "words with phonemes")
        self._sounds.append(sound)
        return chr(_FIRST_NOTE + len(self._sounds) - 1)

    def stress(self, start: int, end: int, level: float) -> None:
        """Stress the words of a stretch, except those within it that are stressed already."""
        for at in range(start, end):
            self.levels.setdefault(at, level)

    def sound(self, note: str) -> Sound:
        return self._sounds[ord(note) - _FIRST_NOTE]

    def pause(self, seconds: float, at: int) -> str:
        """The character that stands for a pause, whose mark is at this offset.

        Raises:
            InvalidRequest: it is too long.
        """
        _check_count(self._pauses, "pauses")
        if seconds > MAX_PAUSE:
            raise InvalidRequest(
                f"input: the pause at position {at} takes {seconds:g} seconds; at most {MAX_PAUSE:g} are allowed",
                param="input",
            )
        self._pauses.append(seconds)
        return chr(_FIRST_PAUSE + len(self._pauses) - 1)

    def seconds(self, pause: str) -> float:
        return self._pauses[ord(pause) - _FIRST_PAUSE]


@attrs.frozen
class Passage:
    """A paragraph, a heading, an item of a list or a line of code: text that is normalised together."""

    text: Mapped
    rest: float
    """Seconds of silence after it."""
    pauses: bool = False
    """Whether the client asks for this rest, so that the passage is spoken on its own."""


def is_note(character: str) -> bool:
    return _FIRST_NOTE <= ord(character) < _FIRST_PAUSE


def _check_count(found: list[Sound] | list[float], what: str) -> None:
    if len(found) > _MOST:
        raise InvalidRequest(f"input: has more than {_MOST} {what}", param="input")
