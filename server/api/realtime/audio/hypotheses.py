"""The text of a turn that goes on, as far as it is certain."""

from __future__ import annotations

from itertools import takewhile

__all__ = ["AgreedText"]


class AgreedText:
    """What two transcripts of a growing sound agree on, one after the other, is certain and is never taken back.

    Its last word is not: the sound may end within it.
    """

    def __init__(self) -> None:
        self._before: list[str] = []
        self._agreed: list[str] = []

    @property
    def text(self) -> str:
        return " ".join(self._agreed)

    def add(self, transcript: str) -> str:
        """Add the transcript of more of the sound. Returns the text that has become certain."""
        words = transcript.split()
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(words[:-1], self._before, strict=False))
        agreed = [word for word, _ in pairs]
        self._before = words
        count = len(self._agreed)
        if len(agreed) <= count or agreed[:count] != self._agreed:
            return ""
        self._agreed = agreed
        return self._joined(agreed[count:], count)

    def finish(self, transcript: str) -> str:
        """The rest of the whole sound's transcript; empty if it contradicts what was certain."""
        words, count = transcript.split(), len(self._agreed)
        return self._joined(words[count:], count) if words[:count] == self._agreed else ""

    @staticmethod
    def _joined(words: list[str], before: int) -> str:
        return (" " if before and words else "") + " ".join(words)
