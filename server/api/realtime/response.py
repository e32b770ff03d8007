"""One response: the events of a chat and its voice, as the events of the client, and the items that they become."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol
from uuid import uuid4

import attrs

from contracts.realtime.items import ItemStatus, RealtimeContent, RealtimeFunctionCall, RealtimeMessage
from contracts.realtime.response import (
    CancelReason,
    RealtimeResponse,
    RealtimeResponseAudio,
    RealtimeResponseAudioOutput,
    RealtimeResponseError,
    RealtimeResponseStatus,
    RealtimeUsage,
    ResponseStatus,
)
from contracts.realtime.server_events import (
    AudioGestures,
    AudioVisemes,
    AudioWords,
    CallArgumentsDelta,
    CallArgumentsDone,
    ContentPart,
    ContentPartEvent,
    ItemEvent,
    OutputDelta,
    OutputDone,
    OutputItemEvent,
    ResponseEvent,
    ServerEvent,
    TextDone,
    TranscriptDone,
)
from contracts.realtime.session import RealtimeSessionConfig
from providers.chat.types import Accepted, Finished, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from providers.errors import ServiceError
from server.api.realtime.audio.legs import Legs
from server.api.realtime.conversation import Conversation, Item, new_item_id
from server.api.realtime.settings import PCM, output_of, speaks
from server.api.spoken.audio import AudioBytes, VoicedEvent
from server.api.spoken.said import SaidAnswer
from server.api.spoken.wire import AudioParts

__all__ = ["RunningResponse", "Sound", "Speech"]


_DELTA_BYTES = 24_000
"""Of sound in an event: half a second of PCM. A sentence in one event is more than clients take by default."""


class Sound(Protocol):
    """Makes the client's format of PCM at 24 kHz, piece by piece."""

    def encode(self, pcm: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


@attrs.frozen
class Speech:
    """The voice of a response, once it is known."""

    parts: AudioParts
    said: SaidAnswer
    sound: Sound


@attrs.define(eq=False)
class _Open:
    """An item that is being generated."""

    item: Item
    index: int
    closed: bool = False
    pieces: list[str] = attrs.field(factory=list)
    """Text of the message, or arguments of the call."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class RunningResponse:
    """A response from `response.created` to `response.done`. Its methods return the events of each step."""

    def __init__(
        self,
        config: RealtimeSessionConfig,
        conversation: Conversation | None,
        prompt: Sequence[Item],
        metadata: dict[str, str] | None = None,
    ) -> None:
        """`conversation`: the answer becomes part of it; None: of none. `prompt`: what the model reads."""
        self.id = f"resp_{uuid4().hex}"
        self.config = config
        self.prompt = prompt
        self.conversation = conversation
        self.spoken = speaks(config)
        self.status: ResponseStatus = "in_progress"
        self.speech: Speech | None = None
        """Set before the first event, if it is spoken."""
        self._metadata = metadata
        self._items: list[_Open] = []
        self._message: _Open | None = None
        self._calls: dict[int, _Open] = {}
        self._accepted = Accepted(0, 0)
        self._tokens = 0
        self._usage: Usage | None = None

    @property
    def ended(self) -> bool:
        return self.status != "in_progress"

    @property
    def message(self) -> Item | None:
        """The item of its text."""
        return None if self._message is None else self._message.item

    def take_legs(self) -> Legs | None:
        """Those of the spoken turn that this response is the first to answer."""
        if not self.prompt:
            return None
        legs, self.prompt[-1].legs = self.prompt[-1].legs, None
        return legs

    def created(self) -> ResponseEvent:
        return ResponseEvent(type="response.created", response=self._wire("in_progress"))

    def take(self, event: VoicedEvent) -> Iterator[ServerEvent]:
        """The events of what was generated. `Finished` ends the response."""
        if isinstance(event, Accepted):
            self._accepted = event
        elif isinstance(event, AudioBytes):
            yield from self._audio(event)
        elif isinstance(event, Finished):
            yield from self._finished(event)
        else:
            self._tokens += event.tokens
            if isinstance(event, TextDelta):
                yield from self._text(event.text)
            elif not isinstance(event, ReasoningDelta):
                yield from self._call(event)

    def cancel(self, reason: CancelReason) -> Iterator[ServerEvent]:
        """End it before it is complete."""
        yield from self._end("cancelled", RealtimeResponseStatus(type="cancelled", reason=reason))

    def fail(self, error: ServiceError) -> Iterator[ServerEvent]:
        """End it by an error."""
        wire = RealtimeResponseError(type=error.type, code=error.code, message=error.message)
        yield from self._end("failed", RealtimeResponseStatus(type="failed", error=wire))

    def _finished(self, event: Finished) -> Iterator[ServerEvent]:
        self._usage = event.usage
        if event.finish_reason == "length":
            details = RealtimeResponseStatus(type="incomplete", reason="max_output_tokens")
            yield from self._end("incomplete", details)
        else:
            yield from self._end("completed", RealtimeResponseStatus(type="completed"))

    def _end(self, status: ResponseStatus, details: RealtimeResponseStatus) -> Iterator[ServerEvent]:
        """Close what is open, and the response."""
        if self.ended:
            return
        self.status = status
        yield from self._close_all("completed" if status == "completed" else "incomplete")
        yield ResponseEvent(type="response.done", response=self._wire(status, details))

    def _text(self, text: str) -> Iterator[ServerEvent]:
        if not text:
            return
        if self._message is None or self._message.closed:
            yield from self._close_all("completed")
            said = self.speech.said if self.speech else None
            wire = RealtimeMessage(
                id=new_item_id(), object="realtime.item", status="in_progress", role="assistant", content=[]
            )
            self._message = yield from self._open(Item(wire, said=said))
            part = ContentPart(type="audio", transcript="") if self.spoken else ContentPart(type="text", text="")
            yield ContentPartEvent(type="response.content_part.added", part=part, **self._place(self._message))
        self._message.pieces.append(text)
        yield OutputDelta(
            type="response.output_audio_transcript.delta" if self.spoken else "response.output_text.delta",
            delta=text,
            **self._place(self._message),
        )

    def _audio(self, event: AudioBytes) -> Iterator[ServerEvent]:
        if self._message is None or self.speech is None:
            return
        sound = self.speech.sound
        audio = sound.encode(event.audio) + (sound.finish() if event.piece is None else b"")
        place = self._place(self._message)
        if event.piece is not None and (part := self.speech.parts.of(AudioBytes(b"", event.piece))) is not None:
            self._message.item.samples += part["samples"]
            times = {name: part[name] for name in ("start_sample", "samples", "sample_rate")}
            if part.get("words") is not None:
                yield AudioWords(words=part["words"], **times, **place)
                yield AudioVisemes(visemes=part["visemes"], **times, **place)
            if part.get("gestures") is not None:
                yield AudioGestures(gestures=part["gestures"], **times, **place)
        for begin in range(0, len(audio), _DELTA_BYTES):
            delta = b64encode(audio[begin : begin + _DELTA_BYTES]).decode("ascii")
            yield OutputDelta(type="response.output_audio.delta", delta=delta, **place)

    def _call(self, event: ToolCallDelta) -> Iterator[ServerEvent]:
        call = self._calls.get(event.call)
        if call is None:
            yield from self._close_all("completed", message=not self.spoken)
            wire = RealtimeFunctionCall(
                id=new_item_id(),
                object="realtime.item",
                type="function_call",
                status="in_progress",
                call_id=event.id or f"call_{uuid4().hex[:24]}",
                name=event.name or "",
                arguments="",
            )
            call = self._calls[event.call] = yield from self._open(Item(wire))
        if event.arguments:
            call.pieces.append(event.arguments)
            yield CallArgumentsDelta(delta=event.arguments, **self._place_of_call(call))

    def _open(self, item: Item) -> Generator[ServerEvent, None, _Open]:
        """Add an item to the response and to its conversation."""
        opened = _Open(item, len(self._items))
        self._items.append(opened)
        yield OutputItemEvent(
            type="response.output_item.added", response_id=self.id, output_index=opened.index, item=item.wire
        )
        if self.conversation is not None:
            before = self.conversation.add(item)
            yield ItemEvent(type="conversation.item.added", previous_item_id=before, item=item.wire)
        return opened

    def _close_all(self, status: ItemStatus, *, message: bool = True) -> Iterator[ServerEvent]:
        """Close the items that are open. `message` false: not the message, which is still being spoken."""
        for each in self._items:
            if not each.closed and (message or each is not self._message):
                yield from self._close(each, status)

    def _close(self, opened: _Open, status: ItemStatus) -> Iterator[ServerEvent]:
        opened.closed = True
        item = opened.item
        if isinstance(item.wire, RealtimeFunctionCall):
            item.wire = attrs.evolve(item.wire, arguments=opened.text, status=status)
            place = self._place_of_call(opened)
            yield CallArgumentsDone(name=item.wire.name, arguments=item.wire.arguments, **place)
        else:
            yield from self._close_message(opened)
            item.set_status(status)
        if self.conversation is not None:
            before = self.conversation.before(item)
            yield ItemEvent(type="conversation.item.done", previous_item_id=before, item=item.wire)
        yield OutputItemEvent(
            type="response.output_item.done", response_id=self.id, output_index=opened.index, item=item.wire
        )

    def _close_message(self, opened: _Open) -> Iterator[ServerEvent]:
        place, text = self._place(opened), opened.text
        if not self.spoken:
            opened.item.set_content(RealtimeContent(type="output_text", text=text))
            yield TextDone(text=text, **place)
            part = ContentPart(type="text", text=text)
        else:
            said = opened.item.said
            heard = text if said is None or said.played_ms is None else said.heard()
            opened.item.set_content(RealtimeContent(type="output_audio", transcript=heard))
            yield OutputDone(**place)
            yield TranscriptDone(transcript=text, **place)
            part = ContentPart(type="audio", transcript=text)
        yield ContentPartEvent(type="response.content_part.done", part=part, **place)

    def _place(self, opened: _Open) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": opened.item.id, "output_index": opened.index}

    def _place_of_call(self, opened: _Open) -> dict[str, Any]:
        assert isinstance(opened.item.wire, RealtimeFunctionCall)
        return {**self._place(opened), "call_id": opened.item.wire.call_id}

    def _wire(self, status: ResponseStatus, details: RealtimeResponseStatus | None = None) -> RealtimeResponse:
        output = output_of(self.config)
        audio = RealtimeResponseAudioOutput(format=output.format or PCM, voice=output.voice)
        return RealtimeResponse(
            id=self.id,
            status=status,
            status_details=details,
            output=[opened.item.wire for opened in self._items],
            conversation_id=None if self.conversation is None else self.conversation.id,
            output_modalities=["audio" if self.spoken else "text"],
            max_output_tokens=self.config.max_output_tokens or "inf",
            audio=RealtimeResponseAudio(output=audio) if self.spoken else None,
            usage=None if status == "in_progress" else self.usage,
            metadata=self._metadata,
        )

    @property
    def usage(self) -> RealtimeUsage:
        """What was used, as far as it got."""
        used = self._usage or Usage(self._accepted.prompt_tokens, self._tokens, self._accepted.cached_tokens)
        return RealtimeUsage.of(used.prompt_tokens, used.completion_tokens, used.cached_tokens)
