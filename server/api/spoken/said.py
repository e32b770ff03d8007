"""Answers that were spoken, kept for a while: later turns refer to them, and hold what was heard of them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import attrs

import otel
from providers.speech.types import SAMPLE_RATE, Unspoken, WordSpan

__all__ = ["KEPT_SECONDS", "SaidAnswer", "SaidAnswers"]

KEPT_SECONDS = 3600
"""As OpenAI's."""
KEPT_ANSWERS = 512
KEPT_BYTES = 64 << 20
"""Bound on the answers together; the newest stays in any case."""
_WORD_BYTES = 400


@attrs.define(kw_only=True)
class SaidAnswer:
    """The text of an answer and its words, while it is spoken and afterwards."""

    id: str
    """Of its audio."""
    completion_id: str
    """Of its chat completion or response."""
    expires_at: int
    playback: otel.PlaybackSpan
    text: str = ""
    words: list[WordSpan] = attrs.field(factory=list)
    unspoken: list[Unspoken] = attrs.field(factory=list)
    """What its voice could not say."""
    played_ms: float | None = None
    """How much of it was played; None: nothing was reported, so all of it counts as heard."""
    ended: bool = True
    """False while it is spoken, and for good if it was interrupted: the text may have words that are in no sound."""

    @property
    def nbytes(self) -> int:
        """An estimate."""
        return _WORD_BYTES * (1 + len(self.words) + len(self.unspoken)) + 4 * len(self.text)

    @property
    def complete(self) -> bool:
        """Whether every word was heard."""
        if self.played_ms is None:
            return True
        return self.ended and (not self.words or self.words[-1].end <= self._played)

    def heard(self) -> str:
        """The text up to the end of the last word that was heard to its end."""
        if self.complete:
            return self.text
        return self.text[: max((word.end_char for word in self.words if word.end <= self._played), default=0)]

    @property
    def _played(self) -> float:
        """Samples. The client's milliseconds are whole, so that a word may end within the last one."""
        return ((self.played_ms or 0.0) + 1) * SAMPLE_RATE / 1000


class SaidAnswers:
    """The most recent spoken answers, in the memory of the process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._by_id: OrderedDict[str, SaidAnswer] = OrderedDict()
        self._by_completion: dict[str, SaidAnswer] = {}
        """The first answer of each completion or response."""

    def new(self, id: str, completion_id: str, playback: otel.PlaybackSpan) -> SaidAnswer:
        """An answer that has not begun, and is not kept yet."""
        expires_at = int(self._clock()) + KEPT_SECONDS
        return SaidAnswer(id=id, completion_id=completion_id, expires_at=expires_at, playback=playback)

    def keep(self, answer: SaidAnswer) -> None:
        """Keep an answer from its beginning: one that is interrupted was heard in part."""
        self._by_id[answer.id] = answer
        self._by_completion.setdefault(answer.completion_id, answer)
        # Answers grow while they are spoken: their sizes are summed up again for each new one.
        total = sum(each.nbytes for each in self._by_id.values())
        while len(self._by_id) > KEPT_ANSWERS or (total > KEPT_BYTES and len(self._by_id) > 1):
            _, oldest = self._by_id.popitem(last=False)
            total -= oldest.nbytes
            self._by_completion.pop(oldest.completion_id, None)

    def find(self, id: str) -> SaidAnswer | None:
        """The answer whose audio or completion has this id; None if there is none, or it has expired."""
        found = self._by_id.get(id) or self._by_completion.get(id)
        return None if found is None or found.expires_at <= self._clock() else found
