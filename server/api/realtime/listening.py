"""The user's side of a session: the turns in the sound, what they interrupt, and the answers that they ask for.

As the session, it starts no task: events and commands come out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contracts.realtime.items import RealtimeContent, RealtimeMessage
from contracts.realtime.server_events import (
    AudioCommitted,
    ItemTruncated,
    ServerEvent,
    TimeoutTriggered,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionSeconds,
)
from contracts.realtime.server_events import SpeechStarted as SpeechStartedEvent
from contracts.realtime.server_events import SpeechStopped as SpeechStoppedEvent
from contracts.realtime.session import ServerVad
from providers.speech.types import SAMPLE_RATE
from server.api.realtime.audio import playback
from server.api.realtime.audio.hypotheses import AgreedText
from server.api.realtime.audio.legs import Legs
from server.api.realtime.audio.playback import Playback
from server.api.realtime.audio.turns import InputAudio, SpeechStarted, TurnSettings, Utterance
from server.api.realtime.commands import Output, Overhear, Transcribe, Wake
from server.api.realtime.conversation import Item, new_item_id
from server.api.realtime.settings import input_of

if TYPE_CHECKING:
    from server.api.realtime.session import Session

__all__ = ["Listening"]

MAX_INPUT_SECONDS = 600
"""Of sound that is not committed, and of a turn."""
_SAMPLE_BYTES = 2
_GROWN_MS = 100
"""A turn that goes on is reported to what transcribes it after this much sound."""


class Listening:
    """The sound of one session. Its owner passes what the client appends, and what the models made of it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._input = InputAudio(max_seconds=MAX_INPUT_SECONDS)
        self._item_id = ""
        """Of the turn that the user speaks, or of the last one."""
        self._reported_ms = 0.0
        self._agreed = AgreedText()
        """Of that turn."""
        self._unanswered: set[str] = set()
        """Turns that get an answer when they have been transcribed."""
        self._owed = False
        """Whether the user said something, and then went on before an answer to it began."""
        self._wakes = 0
        """A wake-up that is not the last one is out of date."""
        self._playback: Playback | None = None
        """Of the last answer."""
        self._unreported: list[Item] = []
        """Answers whose playback the trace does not have."""
        self._playing_ms = 0.0
        """When the last answer has been played, on the clock of the input."""
        self.configure()

    @property
    def input(self) -> InputAudio:
        return self._input

    @property
    def certain(self) -> str:
        """The words of the turn that are certain."""
        return self._agreed.text

    @property
    def turns(self) -> ServerVad | None:
        """The settings by which turns are found; None: the client commits."""
        found = input_of(self._session.config).turn_detection
        return found if isinstance(found, ServerVad) else None

    @property
    def writes_down(self) -> bool:
        """Whether the client gets what the user says as text."""
        return input_of(self._session.config).transcription is not None

    @property
    def answers_turns(self) -> bool:
        """Whether a turn that is found gets an answer by itself."""
        vad = self.turns
        return self._session.config.type == "realtime" and vad is not None and vad.create_response is not False

    def configure(self) -> None:
        """Follow the settings of the session."""
        vad = self.turns
        if vad is None:
            self._input.configure(None)
            return
        given = {name: getattr(vad, name) for name in ("threshold", "prefix_padding_ms", "silence_duration_ms")}
        self._input.configure(TurnSettings(**{name: value for name, value in given.items() if value is not None}))

    def append(self, pcm: bytes) -> Iterator[Output]:
        """Add sound of the user, PCM at 24 kHz.

        Raises:
            InvalidRequest: there is too much that is not committed.
        """
        for found in self._input.append(pcm):
            if isinstance(found, SpeechStarted):
                yield from self._started(found)
            else:
                yield from self._stopped(found.utterance)
        if self._input.speaking and self._input.now_ms - self._reported_ms >= _GROWN_MS:
            self._reported_ms = self._input.now_ms
            yield Overhear(self._item_id, self._input.so_far())

    def commit(self) -> Iterator[Output]:
        """Make a turn of all sound. It gets no answer by itself.

        Raises:
            InvalidRequest: there are less than 100 ms.
        """
        id = self._item_id if self._input.speaking else new_item_id()
        utterance = self._input.commit()
        if id != self._item_id:
            self._item_id, self._agreed = id, AgreedText()
        yield from self._add_turn(id, utterance)

    def clear(self) -> None:
        """Drop the sound that is not committed."""
        self._input.clear()

    def disconnect(self) -> None:
        """Forget the sound, and the turns whose transcripts will not come."""
        self._input.clear()
        self._unanswered.clear()
        self._owed = False
        self._wakes += 1
        self._report(self._unreported)

    def overheard(self, item_id: str, text: str) -> Iterator[ServerEvent]:
        """Handle a transcript of the turn so far."""
        if item_id == self._item_id and (delta := self._agreed.add(text)) and self.writes_down:
            yield TranscriptionDelta(item_id=item_id, delta=delta)

    def transcribed(self, item: Item, text: str) -> Iterator[Output]:
        """Handle the transcript of a turn, and answer it if it is to be answered."""
        if item.legs is not None:
            item.legs.transcribed = playback.now()
        if self.writes_down:
            agreed = self._agreed if item.id == self._item_id else AgreedText()
            if delta := agreed.finish(text):
                yield TranscriptionDelta(item_id=item.id, delta=delta)
            seconds = TranscriptionSeconds(seconds=item.samples / SAMPLE_RATE)
            yield TranscriptionCompleted(item_id=item.id, transcript=text, usage=seconds)
        if item.id in self._unanswered:
            self._unanswered.discard(item.id)
            self._owed = self._owed or bool(text)
            if self._owed and not self._input.speaking and not self._unanswered:
                yield from self._answer()

    def not_transcribed(self, item: Item) -> None:
        self._unanswered.discard(item.id)

    def responding(self) -> None:
        """Note that a response begins: it answers all turns so far."""
        self._owed = False
        self._wakes += 1
        self._report_played()

    def sent(self, item: Item, seconds: float) -> None:
        """Note that sound of an answer goes to the client."""
        if item.playback is None:
            item.playback = Playback(0.0 if self._playback is None else self._playback.ends)
            self._unreported.append(item)
        self._playback = item.playback
        self._playback.sent(seconds)

    def truncated(self, item: Item) -> None:
        """Note that the client has played an answer until now."""
        self._report([item])

    def responded(self) -> Iterator[Output]:
        """Note that a response has ended. If the user then stays silent, the model speaks again after the timeout."""
        vad = self.turns
        if vad is not None and vad.idle_timeout_ms is not None and self._session.config.type == "realtime":
            remaining = 0.0 if self._playback is None else max(0.0, self._playback.ends - self._playback.clock())
            self._wakes += 1
            self._playing_ms = self._input.now_ms + remaining * 1000
            yield Wake(remaining + vad.idle_timeout_ms / 1000, self._wakes)

    def woken(self, number: int) -> Iterator[Output]:
        """Answer a silence: the time of `Wake` is over."""
        if number != self._wakes or self._input.speaking or self._unanswered or self._session.running is not None:
            return
        id, silence = new_item_id(), self._input.so_far()
        start, end = round(min(self._playing_ms, self._input.now_ms)), round(self._input.now_ms)
        yield TimeoutTriggered(audio_start_ms=start, audio_end_ms=end, item_id=id)
        self._input.clear()
        yield from self._add_turn(id, silence, transcript="")
        yield from self._answer()

    def _started(self, found: SpeechStarted) -> Iterator[Output]:
        self._wakes += 1
        self._report_played()
        self._item_id, self._agreed, self._reported_ms = new_item_id(), AgreedText(), 0.0
        yield SpeechStartedEvent(audio_start_ms=round(found.start_ms), item_id=self._item_id)
        vad = self.turns
        if vad is not None and vad.interrupt_response is not False:
            yield from self._session.interrupt()
            yield from self._cut_off()

    def _cut_off(self) -> Iterator[Output]:
        """Cut the answers whose sound is still being played, or will not be made, at what was heard."""
        for item in self._session.conversation:
            if item.said is None or item.said.played_ms is not None:
                continue
            remaining = 0.0 if item.playback is None else item.playback.remaining
            if remaining or not item.said.ended:
                played = 0 if item.playback is None else item.playback.played_ms
                item.hear(played)
                self._report([item])
                yield ItemTruncated(item_id=item.id, content_index=0, audio_end_ms=played)

    def _stopped(self, utterance: Utterance) -> Iterator[Output]:
        yield SpeechStoppedEvent(audio_end_ms=round(utterance.end_ms), item_id=self._item_id)
        if self.answers_turns:
            self._unanswered.add(self._item_id)
        yield from self._add_turn(self._item_id, utterance)

    def _add_turn(self, id: str, utterance: Utterance, transcript: str | None = None) -> Iterator[Output]:
        """Add what the user said as an item, and have it written down, unless `transcript` is known."""
        self._session.conversation.check_room()
        wire = RealtimeMessage(
            id=id,
            object="realtime.item",
            status="completed",
            role="user",
            content=[RealtimeContent(type="input_audio", transcript=transcript or "")],
        )
        item = Item(wire, sound=utterance.audio, samples=len(utterance.audio) // _SAMPLE_BYTES)
        if transcript is None:
            now = playback.now()
            item.legs = Legs(spoken=now - (self._input.now_ms - utterance.voiced_ms) / 1000, found=now)
        yield AudioCommitted(previous_item_id=self._session.conversation.last_id, item_id=item.id)
        yield from self._session.add(item)
        if transcript is None:
            yield Transcribe(item, utterance)

    def _report_played(self) -> None:
        self._report([item for item in self._unreported if item.playback is None or not item.playback.remaining])

    def _report(self, items: list[Item]) -> None:
        for item in [*items]:
            item.report_playback()
            if item in self._unreported:
                self._unreported.remove(item)

    def _answer(self) -> Iterator[Output]:
        """Begin a response, unless there is one."""
        if self._session.running is None:
            yield from self._session.answer()
