"""The state of one session. Events of the client and of the models go in; events and commands come out.

It starts no task and waits for nothing. Everything that it returns goes to the connection in the order in which it
comes. `receive` and the other methods that a client's event leads to raise no `ServiceError`: an `error` event reports
it, and the session goes on.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from uuid import uuid4

import attrs

from contracts.realtime.client_events import (
    ClientEvent,
    InputAudioAppend,
    InputAudioClear,
    InputAudioCommit,
    ItemCreate,
    ItemDelete,
    ItemRetrieve,
    ItemTruncate,
    OutputAudioClear,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from contracts.realtime.items import RealtimeItemReference, RealtimeMessage
from contracts.realtime.response import CancelReason, RealtimeResponseCreateParams
from contracts.realtime.server_events import (
    AudioCleared,
    ErrorEvent,
    ItemDeleted,
    ItemEvent,
    ItemRetrieved,
    ItemTruncated,
    RealtimeError,
    ServerEvent,
    SessionEvent,
    TranscriptionFailed,
)
from contracts.realtime.session import RealtimeSession, RealtimeSessionConfig
from providers.errors import InvalidRequest, ServiceError, UnsupportedParameter
from providers.speech.types import SAMPLE_RATE
from server.api.realtime.audio.sound import SoundReader, encode_whole_sound, reader_of
from server.api.realtime.commands import Output, StartResponse, StopResponse, Transcribe
from server.api.realtime.conversation import Conversation, Item, with_id
from server.api.realtime.listening import Listening
from server.api.realtime.response import RunningResponse
from server.api.realtime.settings import for_response, input_of, speaks, updated
from server.api.spoken.audio import AudioBytes, VoicedEvent
from server.noted import noting

__all__ = ["Abilities", "Session", "error_event"]

MAX_RESPONSES = 8
"""Responses of a session that run beside each other: one of the conversation, and others of none."""
SAMPLE_BYTES = 2


@attrs.frozen(kw_only=True)
class Abilities:
    """What the models of the server can do for a session."""

    speaks: bool
    hears: bool
    sees: bool = False
    strict: bool = False
    """Whether parameters without effect are refused."""


class Session:
    """A conversation, its settings, the sound that comes in, and the responses that run."""

    def __init__(self, config: RealtimeSessionConfig, abilities: Abilities) -> None:
        self.id = f"sess_{uuid4().hex}"
        self.config = config
        self.conversation = Conversation(f"conv_{uuid4().hex}")
        self.responses: dict[str, RunningResponse] = {}
        """Those that run, by id."""
        self.listening = Listening(self)
        self._abilities = abilities
        self._reader: SoundReader | None = None
        self._handlers: dict[type, Callable[[Any], Iterator[Output]]] = {
            SessionUpdate: self._update,
            ItemCreate: self._create,
            ItemRetrieve: self._retrieve,
            ItemTruncate: self._truncate,
            ItemDelete: self._delete,
            InputAudioAppend: self._append,
            InputAudioCommit: lambda _: self.commit(),
            InputAudioClear: lambda _: self.clear(),
            OutputAudioClear: self._clear_output,
            ResponseCreate: lambda event: self.respond(event.response),
            ResponseCancel: self._cancel,
        }

    # The client.

    def created(self) -> ServerEvent:
        """The first event of a connection."""
        return SessionEvent(type="session.created", session=self._wire())

    def receive(self, event: ClientEvent) -> list[Output]:
        """Handle an event of the client."""
        made: list[Output] = []
        try:
            with noting(strict=self._abilities.strict):
                made.extend(self._handlers[type(event)](event))  # what came before a failure stays
        except ServiceError as error:
            made.append(error_event(error, event.event_id))
        return made

    def feed_audio(self, pcm: bytes) -> Iterator[Output]:
        """Append sound of the user, PCM at 24 kHz.

        Raises:
            InvalidRequest: there is too much that is not committed, or no room in the conversation.
        """
        yield from self.listening.append(pcm)

    def commit(self) -> Iterator[Output]:
        """Make a turn of the user of the sound so far, and have it written down.

        Raises:
            InvalidRequest: there is too little sound, or no room in the conversation.
        """
        self.conversation.check_room()
        yield from self.listening.commit()
        self._reader = None

    def clear(self) -> Iterator[Output]:
        """Drop the sound that is not committed."""
        self.listening.clear()
        self._reader = None
        yield AudioCleared()

    def respond(self, params: RealtimeResponseCreateParams | None = None) -> Iterator[Output]:
        """Begin a response.

        Raises:
            InvalidRequest: the conversation has one that runs, or a setting is wrong.
            UnsupportedParameter: as for settings.
        """
        if self.config.type == "transcription":
            raise InvalidRequest("a transcription session makes no responses")
        apart = params is not None and params.conversation == "none"
        running = self.running
        if running is not None and not apart:
            raise ConversationBusy(
                f"the conversation has a response in progress already: {running.id}; wait until it is done"
            )
        if len(self.responses) >= MAX_RESPONSES:
            raise InvalidRequest(f"a session has up to {MAX_RESPONSES} responses at once")
        config = for_response(self.config, params)
        if speaks(config) and not self._abilities.speaks:
            raise UnsupportedParameter(
                "response.output_modalities: audio needs a model that speaks, and this server has none; send text",
                param="response.output_modalities",
            )
        prompt = [*self.conversation] if params is None or params.input is None else self._given(params)
        response = RunningResponse(
            config,
            None if apart else self.conversation,
            prompt,
            None if params is None else params.metadata,
        )
        self.responses[response.id] = response
        if not apart:
            self.listening.responding()
        yield response.created()
        if params is not None and params.input is not None:
            yield from (Transcribe(item) for item in prompt if item.sound and item not in self.conversation)
        yield StartResponse(response)

    def interrupt(self, reason: CancelReason = "turn_detected") -> Iterator[Output]:
        """End the conversation's response, if there is one. Its text is what was generated: `hear` cuts it."""
        if (running := self.running) is not None:
            yield from self._stop(running, reason)

    def answer(self) -> Iterator[Output]:
        """Begin a response that no event of the client asks for."""
        try:
            yield from self.respond()
        except ServiceError as error:
            yield error_event(error, None)

    @property
    def running(self) -> RunningResponse | None:
        """The conversation's response in progress."""
        return next((each for each in self.responses.values() if each.conversation is not None), None)

    # The models.

    def generated(self, response: RunningResponse, event: VoicedEvent) -> Iterator[Output]:
        """Handle a part of an answer. One that comes after its response has ended is dropped."""
        if response.id in self.responses:
            yield from response.take(event)
            item = response.message
            if isinstance(event, AudioBytes) and event.piece is not None and item and response.conversation:
                self.listening.sent(item, len(event.piece.piece.audio) / SAMPLE_BYTES / SAMPLE_RATE)
            if response.ended:
                del self.responses[response.id]
                if response.conversation is not None:
                    yield from self.listening.responded()

    def failed(self, response: RunningResponse, error: ServiceError) -> Iterator[Output]:
        """End a response that cannot go on."""
        if response.id in self.responses:
            del self.responses[response.id]
            yield error_event(error, None)
            yield from response.fail(error)

    def transcribed(self, item: Item, text: str) -> Iterator[Output]:
        """Keep what the user said."""
        item.transcribe(text)
        yield from self.listening.transcribed(item, text)

    def overheard(self, item_id: str, text: str) -> Iterator[Output]:
        """Take a transcript of the turn so far, which goes on."""
        yield from self.listening.overheard(item_id, text)

    def woken(self, number: int) -> Iterator[Output]:
        """Go on after the time of `Wake`."""
        yield from self.listening.woken(number)

    def not_transcribed(self, item: Item, error: ServiceError) -> Iterator[Output]:
        """Keep that the user's turn cannot be read."""
        item.failure = error
        self.listening.not_transcribed(item)
        if self.listening.writes_down:
            yield TranscriptionFailed(item_id=item.id, error=_wire_error(error, None))

    def disconnect(self) -> None:
        """Forget what only a connection needs: responses that run, and sound. The conversation stays."""
        for response in [*self.responses.values()]:
            for _ in self._stop(response, "client_cancelled"):
                pass
        self.listening.disconnect()
        self._reader = None
        self.conversation.drop_sound()

    # What events do.

    def _update(self, event: SessionUpdate) -> Iterator[Output]:
        with noting(strict=self._abilities.strict) as noted:
            config = updated(self.config, event.session)
        if "audio" in (config.output_modalities or ()) and not self._abilities.speaks:
            raise UnsupportedParameter(
                "session.output_modalities: audio needs a model that speaks, and this server has none; send text",
                param="session.output_modalities",
            )
        if input_of(config).format != input_of(self.config).format:
            self._reader = None
        self.config = config
        self.listening.configure()
        yield SessionEvent(type="session.updated", session=self._wire([*noted.names]))

    def _create(self, event: ItemCreate) -> Iterator[Output]:
        self.conversation.check_room()
        item = self._item(event.item)
        yield from self.add(item, event.previous_item_id)
        if item.sound:
            yield Transcribe(item)

    def _item(self, given: Any, path: str = "item") -> Item:
        """An item of the client. Sound of a user is decoded, and its transcript is kept if the client has one."""
        wire = with_id(given)
        if not isinstance(wire, RealtimeMessage):
            return Item(wire)
        sound = bytearray()
        content = []
        for index, part in enumerate(wire.content):
            place = f"{path}.content[{index}]"
            if part.type == "input_image" and not self._abilities.sees:
                raise UnsupportedParameter(f"{place}.type: the model reads no pictures", param=f"{place}.type")
            if part.type == "input_audio" and part.audio and not part.transcript:
                if not self._abilities.hears:
                    raise self._deaf(f"{place}.audio")
                sound += reader_of(input_of(self.config).format).decode(_decoded(part.audio, f"{place}.audio"))
            transcript = (part.transcript or "") if part.type == "input_audio" else part.transcript
            content.append(attrs.evolve(part, audio=None, transcript=transcript))
        wire = attrs.evolve(wire, content=content)
        return Item(wire, sound=bytes(sound), samples=len(sound) // SAMPLE_BYTES)

    def add(self, item: Item, after: str | None = None) -> Iterator[Output]:
        """Add an item to the conversation."""
        before = self.conversation.add(item, after)
        yield ItemEvent(type="conversation.item.added", previous_item_id=before, item=item.wire)
        yield ItemEvent(type="conversation.item.done", previous_item_id=before, item=item.wire)

    def _retrieve(self, event: ItemRetrieve) -> Iterator[Output]:
        item = self.conversation.find(event.item_id)
        wire = item.wire
        if item.sound and isinstance(wire, RealtimeMessage):
            sound = encode_whole_sound(input_of(self.config).format, item.sound)
            audio = base64.b64encode(sound).decode("ascii")
            parts = [attrs.evolve(part, audio=audio) if part.type == "input_audio" else part for part in wire.content]
            wire = attrs.evolve(wire, content=parts)
        yield ItemRetrieved(item=wire)

    def _truncate(self, event: ItemTruncate) -> Iterator[Output]:
        item = self.conversation.find(event.item_id)
        if item.said is None or event.content_index:
            message = "only the first part of a spoken answer can be truncated"
            raise InvalidRequest(f"item_id: {message}", param="item_id" if item.said is None else "content_index")
        if event.audio_end_ms > (item.samples + 1) * 1000 / SAMPLE_RATE:
            whole = item.samples * 1000 // SAMPLE_RATE
            message = f"audio_end_ms: the audio has {whole:,} ms so far, which are fewer than {event.audio_end_ms:,}"
            raise InvalidRequest(message, param="audio_end_ms")
        item.hear(event.audio_end_ms)
        self.listening.truncated(item)
        yield ItemTruncated(item_id=item.id, content_index=0, audio_end_ms=event.audio_end_ms)

    def _delete(self, event: ItemDelete) -> Iterator[Output]:
        yield ItemDeleted(item_id=self.conversation.delete(event.item_id).id)

    def _append(self, event: InputAudioAppend) -> Iterator[Output]:
        if not self._abilities.hears:
            raise self._deaf("audio")
        if self._reader is None:
            self._reader = reader_of(input_of(self.config).format)
        yield from self.feed_audio(self._reader.decode(_decoded(event.audio, "audio")))

    def _clear_output(self, _: OutputAudioClear) -> NoReturn:
        raise UnsupportedParameter(
            "output_audio_buffer.clear is for WebRTC; over a WebSocket the client has the audio: send response.cancel "
            "and conversation.item.truncate",
            param="type",
        )

    def _cancel(self, event: ResponseCancel) -> Iterator[Output]:
        running = self.running if event.response_id is None else self.responses.get(event.response_id)
        if running is None:
            raise NothingToCancel("there is no response in progress to cancel")
        yield from self._stop(running, "client_cancelled")

    def _stop(self, response: RunningResponse, reason: CancelReason) -> Iterator[Output]:
        del self.responses[response.id]
        yield StopResponse(response.id)
        yield from response.cancel(reason)

    def _given(self, params: RealtimeResponseCreateParams) -> list[Item]:
        """The items that a response names itself."""
        items = []
        for index, each in enumerate(params.input or ()):
            if isinstance(each, RealtimeItemReference):
                items.append(self.conversation.find(each.id, param=f"response.input[{index}].id"))
            else:
                items.append(self._item(each, f"response.input[{index}]"))
        return items

    def _deaf(self, param: str) -> UnsupportedParameter:
        return UnsupportedParameter(f"{param}: this server has no model that transcribes; send text", param=param)

    def _wire(self, ignored: list[str] | None = None) -> RealtimeSession:
        fields = {name: getattr(self.config, name) for name in attrs.fields_dict(RealtimeSessionConfig)}
        return RealtimeSession(id=self.id, ignored_parameters=ignored or None, **fields)


class ConversationBusy(InvalidRequest):
    """A conversation has one response at a time."""

    code = "conversation_already_has_active_response"


class NothingToCancel(InvalidRequest):
    """No response is in progress."""

    code = "response_cancel_not_active"


def error_event(error: ServiceError, event_id: str | None) -> ErrorEvent:
    """The event that reports an error. `event_id`: of the client's event, if one led to it."""
    return ErrorEvent(error=_wire_error(error, event_id))


def _wire_error(error: ServiceError, event_id: str | None) -> RealtimeError:
    return RealtimeError(type=error.type, code=error.code, message=error.message, param=error.param, event_id=event_id)


def _decoded(audio: str, place: str) -> bytes:
    try:
        return base64.b64decode(audio, validate=True)
    except ValueError:
        raise InvalidRequest(f"{place}: not valid base64", param=place) from None
