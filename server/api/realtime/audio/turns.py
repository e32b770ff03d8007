"""The sound that a client appends, and the turns that are found in it.

The clock of a session is the sound that was appended to its buffer, PCM at 24 kHz. Times are milliseconds on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from providers.errors import InvalidRequest
from providers.speech.types import SAMPLE_RATE

if TYPE_CHECKING:
    from server.api.realtime.audio.voice_activity import VoiceActivity

__all__ = ["InputAudio", "SpeechStarted", "SpeechStopped", "TurnSettings", "Utterance"]

_RUN = 10
_SPOKEN = 7
"""Speech has started where this many of `_RUN` frames are speech: a click makes five, a short word ten."""
_SHORTEST_MS = 100
"""As OpenAI's. Less cannot be committed."""
_FRAME_MS = 20
"""Of the detector."""
_SAMPLE_BYTES = 2


@attrs.frozen(kw_only=True)
class TurnSettings:
    """OpenAI's settings of `server_vad` that shape turns, and their defaults."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


@attrs.frozen(kw_only=True)
class Utterance:
    """Sound that is one turn of the user, or the beginning of one."""

    audio: bytes
    start_ms: float
    voiced_ms: float
    """The end of the last frame of speech; the end of the sound where turns are not detected."""

    @property
    def duration_ms(self) -> float:
        return _time(len(self.audio) // _SAMPLE_BYTES)

    @property
    def end_ms(self) -> float:
        return self.start_ms + self.duration_ms


@attrs.frozen
class SpeechStarted:
    """`start_ms` is before the first speech by the padding, if there is so much sound."""

    start_ms: float


@attrs.frozen
class SpeechStopped:
    """The turn is over, and its sound is no longer in the buffer."""

    utterance: Utterance


class InputAudio:
    """The buffer of one session.

    With `turns`, speech is searched for: sound before it is dropped but for the padding, and a turn ends after the
    silence, or with `max_seconds`. Without, sound stays until it is committed or cleared.
    """

    def __init__(self, turns: TurnSettings | None = None, *, max_seconds: int) -> None:
        self._turns = turns
        self._max_seconds = max_seconds
        self._activity: VoiceActivity | None = None
        """Made when sound comes: its libraries are those of a server that transcribes."""
        self._audio = bytearray()
        self._start = 0
        """The place of the first sample of the buffer. Places are samples since the beginning of the session."""
        self._reset()

    @property
    def now_ms(self) -> float:
        """The time of all sound so far."""
        return _time(self._end)

    @property
    def speaking(self) -> bool:
        """Whether a turn has started and has not ended."""
        return self._spoken

    def configure(self, turns: TurnSettings | None) -> None:
        """Change the settings. The clock goes on, and sound stays. A turn that has started is forgotten."""
        if turns != self._turns:
            self._turns = turns
            self._reset()

    def append(self, pcm: bytes) -> Iterator[SpeechStarted | SpeechStopped]:
        """Append whole samples, a second or so of them. Yields what is found in them.

        Raises:
            InvalidRequest: without turns, there is more sound than `max_seconds`.
        """
        if self._turns is None and len(self._audio) + len(pcm) > self._max_seconds * SAMPLE_RATE * _SAMPLE_BYTES:
            message = f"audio: the buffer holds up to {self._max_seconds:g} seconds; commit or clear it"
            raise InvalidRequest(message, param="audio")
        if self._activity is None and self._turns is not None:
            self._activity = _detector(self._turns)
        self._audio += pcm
        if self._activity is not None:
            for voiced in self._activity.feed(pcm):
                yield from self._look(voiced)

    def so_far(self) -> Utterance:
        """The sound that a commit would take."""
        return self._utterance(self._end)

    def commit(self) -> Utterance:
        """Take all sound out of the buffer.

        Raises:
            InvalidRequest: there are less than 100 milliseconds.
        """
        utterance = self.so_far()
        if utterance.duration_ms < _SHORTEST_MS:
            size = "too small" if utterance.audio else "empty"
            message = (
                f"the input audio buffer is {size}: it holds {utterance.duration_ms:.2f} ms, and a turn has at least "
                f"{_SHORTEST_MS}"
            )
            raise InvalidRequest(message, param="audio")
        self.clear()
        return utterance

    def clear(self) -> None:
        """Drop all sound. A turn that has started ends without a result."""
        self._drop(self._end)
        self._end_turn()

    @property
    def _end(self) -> int:
        return self._start + len(self._audio) // _SAMPLE_BYTES

    def _reset(self) -> None:
        self._activity = None
        self._seen = self._end
        """The place after the last frame that was looked at."""
        self._end_turn()

    def _end_turn(self) -> None:
        self._recent: deque[bool] = deque(maxlen=_RUN)
        self._spoken = False
        self._voiced = 0
        """The place after the last frame of speech."""

    def _look(self, voiced: bool) -> Iterator[SpeechStarted | SpeechStopped]:
        assert self._turns is not None
        frame, padding = _samples(_FRAME_MS), _samples(self._turns.prefix_padding_ms)
        self._seen += frame
        self._recent.append(voiced)
        if voiced:
            self._voiced = self._seen
        if not self._spoken:
            if sum(self._recent) < _SPOKEN:
                self._drop(self._seen - _RUN * frame - padding)
                return
            self._drop(self._seen - (len(self._recent) - self._recent.index(True)) * frame - padding)
            self._spoken = True
            yield SpeechStarted(_time(self._start))
        silent = self._seen - self._voiced >= _samples(self._turns.silence_duration_ms)
        if silent or self._seen - self._start >= self._max_seconds * SAMPLE_RATE:
            utterance = self._utterance(self._seen)
            self._drop(self._seen)
            self._end_turn()
            yield SpeechStopped(utterance)

    def _utterance(self, end: int) -> Utterance:
        return Utterance(
            audio=bytes(self._audio[: (end - self._start) * _SAMPLE_BYTES]),
            start_ms=_time(self._start),
            voiced_ms=_time(self._voiced if self._spoken else end),
        )

    def _drop(self, place: int) -> None:
        """Drop the sound before a place."""
        count = min(place, self._end) - self._start
        if count > 0:
            del self._audio[: count * _SAMPLE_BYTES]
            self._start += count


def _time(place: int) -> float:
    return place * 1000 / SAMPLE_RATE


def _samples(milliseconds: int) -> int:
    return milliseconds * SAMPLE_RATE // 1000


def _detector(turns: TurnSettings) -> VoiceActivity:
    from server.api.realtime.audio.voice_activity import VoiceActivity

    return VoiceActivity(turns.threshold)
