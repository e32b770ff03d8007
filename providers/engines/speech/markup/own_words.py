"""Words whose sounds a client or the server gives: the lexicon of a request, and the one of `--lexicon`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.engines.speech.markup.marks import Marks, Sound
from providers.engines.speech.text.mapped import Mapped

__all__ = ["OwnWords"]

_TOKEN = re.compile(r"\w+|[^\w\s]")


class OwnWords:
    """Finds words in texts. A word in capitals or with a capital letter matches, unless the lexicon also has it so.

    Args:
        param: the parameter or option that the lexicon is from, for messages.
        checked: whether all phonemes are known to be in the alphabet.
    """

    def __init__(self, phonemes: Mapping[str, str], *, param: str, checked: bool = False) -> None:
        self._sounds = {word: Sound(word, sound, f"{param}.{word}") for word, sound in phonemes.items()}
        self._folded: dict[str, Sound] = {}
        self._by_token: dict[str, list[str]] = {}
        for word, sound in self._sounds.items():
            self._folded.setdefault(word.casefold(), sound)
            beginning = _TOKEN.search(word)
            self._by_token.setdefault("" if beginning is None else beginning[0].casefold(), []).append(word)
        for words in self._by_token.values():
            words.sort(key=len, reverse=True)

        self.unchecked = [] if checked else list(self._sounds.values())

    def marked(self, text: Mapped, marks: Marks) -> Mapped:
        """The text with a note in place of each of the words."""
        if not self._sounds:
            return text
        parts, at = [], 0
        for token in _TOKEN.finditer(text.text):
            words = self._by_token.get(token[0].casefold())
            if words is None or token.start() < at or (length := _length_at(text.text, token.start(), words)) == 0:
                continue
            end = token.start() + length
            written = text.text[token.start() : end]
            sound = self._sounds.get(written) or self._folded[written.casefold()]
            note = marks.note(Sound(written, sound.phonemes, sound.param))
            stretch = text.stretch(token.start(), end)
            parts += [text[at : token.start()], Mapped.made_of(note, *stretch)]
            at = end
        return Mapped.joined([*parts, text[at:]]) if parts else text


def _length_at(text: str, start: int, words: list[str]) -> int:
    """The length of the first of the words that stands here whole."""
    for word in words:
        end = start + len(word)
        if text[start:end].casefold() == word.casefold() and _is_whole(text, start, end):
            return len(word)
    return 0


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no letter of another word is beside it."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() and text[start].isalnum()) and not (after.isalnum() and text[end - 1].isalnum())
