"""A session on a socket: reads events, carries out commands, sends what the session returns, and ends in order.

Three kinds of tasks touch a session, all on one loop and never between two of its outputs: the reader, one per
response, and one per transcript. All of them put events into one outbox, from which the writer sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import attrs
from litestar.types import Receive, Send

import otel
from contracts.realtime.client_events import ClientEvent, InputAudioAppend, SessionUpdate
from contracts.realtime.server_events import ErrorEvent, ServerEvent
from providers.chat.protocol import ChatProvider
from providers.chat.types import Accepted
from providers.errors import InternalError, InvalidRequest, ModelNotReady, ServiceError
from server.api.realtime.answering import answered, check_voice, transcript
from server.api.realtime.audio import playback
from server.api.realtime.audio.legs import Legs
from server.api.realtime.audio.transcribing import Pace
from server.api.realtime.commands import Output, Overhear, StartResponse, StopResponse, Transcribe, Wake
from server.api.realtime.conversation import Item
from server.api.realtime.dialects.decoding import CURRENT, Dialect, WrongEvent
from server.api.realtime.outbox import Outbox
from server.api.realtime.overhearing import Overhearing
from server.api.realtime.response import RunningResponse
from server.api.realtime.session import Session, error_event
from server.api.realtime.settings import updated
from server.api.spoken.audio import AudioBytes
from server.dependencies import Service
from server.errors import as_service_error

__all__ = ["Admit", "Close", "Connection", "Limits"]

_LARGE = 262_144
"""Characters of a message that is decoded in a thread."""
_LONG_SOUND = 64_000
"""Characters of base64, a second. They are whole groups of four."""
_GOING_AWAY = 1001
_log = otel.get_logger("server.realtime")

Admit = Callable[[], Awaitable[None]]
"""Counts a response. Raises: RateLimitExceeded."""


@attrs.frozen(kw_only=True)
class Limits:
    """Times in seconds."""

    idle: float = 900.0
    """In which neither the client sends nor a response runs."""
    write: float = 60.0
    """In which a client takes nothing."""
    farewell: float = 2.0
    """For what a client has not taken when the server ends the connection: a server that stops waits for it."""


@attrs.frozen
class Close:
    """How the server ends a connection. The client gets `error` as an event first."""

    code: int
    error: ServiceError


class IdleTimeout(InvalidRequest):
    """The client has sent nothing for a time."""

    code = "session_idle"


def _parts(event: ClientEvent) -> Iterator[ClientEvent]:
    """The event; a long sound as several, so that no other client waits while speech is searched for in it."""
    if not isinstance(event, InputAudioAppend) or len(event.audio) <= _LONG_SOUND:
        yield event
        return
    for begin in range(0, len(event.audio), _LONG_SOUND):
        yield attrs.evolve(event, audio=event.audio[begin : begin + _LONG_SOUND])


class Connection:
    """One socket's part of a session. `run` returns when either side has ended it."""

    def __init__(
        self,
        session: Session,
        chat: ChatProvider,
        service: Service,
        receive: Receive,
        send: Send,
        limits: Limits,
        admit: Admit | None = None,
        dialect: Dialect = CURRENT,
    ) -> None:
        """`admit` is awaited before each response."""
        self._session = session
        self._chat = chat
        self._service = service
        self._receive = receive
        self._send = send
        self._limits = limits
        self._admit = admit
        self._dialect = dialect
        self._outbox = Outbox()
        self._responses: dict[str, asyncio.Task[None]] = {}
        self._transcripts: dict[str, asyncio.Task[None]] = {}
        """By the ids of items."""
        self._closing: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._overhearing: Overhearing | None = None
        """The turn that the user speaks."""
        self._pace = Pace()
        self._waking: asyncio.TimerHandle | None = None
        self._active = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Serve until the client leaves or the server ends the connection. The session outlives it."""
        drain = self._service.drain
        self.emit([self._session.created()])
        reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        tasks = [reader, writer, asyncio.create_task(self._watch_idle())]
        unregister = (drain.when_begun(self._drain), drain.when_expired(self._expire))
        try:
            ends: list[asyncio.Future[Any]] = [reader, writer, self._closing]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._closing.done() and not reader.done():
                await self._close(self._closing.result(), reader, writer)
        finally:
            for remove in unregister:
                remove()
            if self._waking is not None:
                self._waking.cancel()
            if self._overhearing is not None:
                await self._overhearing.close()
            running = [*tasks, *self._responses.values(), *self._transcripts.values()]
            for task in running:
                task.cancel()
            for outcome in await asyncio.gather(*running, return_exceptions=True):
                if isinstance(outcome, Exception):
                    _log.error("a task of a realtime session failed", exc_info=outcome)
            self._session.disconnect()
            if not self._closing.done():
                self._closing.cancel()

    def emit(self, outputs: Iterable[Output]) -> None:
        """Send events and carry out commands. The caller waits for `room` before it makes more."""
        for output in outputs:
            if isinstance(output, ServerEvent):
                if (frame := self._dialect.write(output)) is not None:
                    self._outbox.put(frame)
            elif isinstance(output, StartResponse):
                self._start(self._responses, output.response.id, self._respond(output.response))
            elif isinstance(output, Transcribe):
                self._start(self._transcripts, output.item.id, self._transcribe(output))
            elif isinstance(output, Overhear):
                self._overhear(output)
            elif isinstance(output, Wake):
                self._wake(output)
            elif isinstance(output, StopResponse) and (task := self._responses.get(output.response_id)):
                task.cancel()

    def end(self, close: Close) -> None:
        """Close the connection. The first reason counts."""
        if not self._closing.done():
            self._closing.set_result(close)

    # Tasks.

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] != "websocket.receive":
                continue
            self._active = asyncio.get_running_loop().time()
            try:
                await self._received(message.get("text"), message.get("bytes"))
            except Exception as error:  # a fault of the server: this event is lost, and the session goes on
                self.emit([error_event(as_service_error(error), None)])
            await self._outbox.room(slack=True)

    async def _received(self, text: str | None, data: bytes | None) -> None:
        if text is None:
            message = f"binary messages are not read ({len(data or b''):,} bytes); send JSON as text"
            self.emit([error_event(InvalidRequest(message), None)])
            return
        try:
            read = self._dialect.read
            event = await asyncio.to_thread(read, text) if len(text) > _LARGE else read(text)
        except WrongEvent as error:
            self.emit([error_event(error.error, error.event_id)])
            return
        if (refusal := await self._refusal(event)) is not None:
            self.emit([error_event(refusal, event.event_id)])
            return
        for part in _parts(event):
            made = self._session.receive(part)
            self.emit(made)
            if any(isinstance(output, ErrorEvent) for output in made):
                return
            if part is not event:
                await asyncio.sleep(0)

    async def _refusal(self, event: ClientEvent) -> ServiceError | None:
        """What only a model knows of new settings: whether it has the voice."""
        if not isinstance(event, SessionUpdate):
            return None
        try:
            await check_voice(updated(self._session.config, event.session), self._service)
        except ServiceError as error:
            return error
        return None

    async def _write(self) -> None:
        while (frame := await self._outbox.next()) is not None:
            try:
                async with asyncio.timeout(self._limits.write):
                    await self._send({"type": "websocket.send", "text": frame, "bytes": None})
            except Exception as error:  # granian raises various ones when the client has gone
                _log.info("a realtime client takes nothing more", reason=repr(error))
                return

    async def _respond(self, response: RunningResponse) -> None:
        legs = response.take_legs()
        with otel.start_turn(
            model=self._chat.spec.name,
            request_id=otel.request_id.get() or "",
            session=self._session.id,
            response=response.id,
            ago=0.0 if legs is None else playback.now() - legs.spoken,
        ) as span:
            begun = asyncio.get_running_loop().time()
            try:
                await self._answer(response, span, legs)
            except Exception as error:
                self.emit(self._session.failed(response, as_service_error(error)))
            finally:
                span.ended(response.status)
                _log_turn(self._session.id, response, asyncio.get_running_loop().time() - begun)
                self._active = asyncio.get_running_loop().time()

    async def _answer(self, response: RunningResponse, span: otel.TurnSpan, legs: Legs | None) -> None:
        """Raises: ServiceError."""
        if legs is not None:
            span.speech_stopped(playback.now() - legs.found)
        if self._admit is not None:
            await self._admit()
        waited = await self._heard(response.prompt)
        if legs is not None and legs.transcribed is not None:
            span.transcribed(playback.now() - legs.transcribed)
        elif waited:
            span.transcribed()
        async with aclosing(answered(response, self._chat, self._service)) as events:
            async for event in events:
                if isinstance(event, AudioBytes):
                    span.first_audio()
                elif not isinstance(event, Accepted):
                    span.first_token()
                self.emit(self._session.generated(response, event))
                await self._outbox.room()
        if not response.ended:
            raise InternalError.truncated("response")

    async def _heard(self, prompt: Iterable[Item]) -> bool:
        """Wait for the transcripts of the items. Returns whether there was one to wait for.

        Raises:
            ServiceError: one that was waited for cannot be transcribed.
        """
        waited = [(item, task) for item in prompt if (task := self._transcripts.get(item.id)) is not None]
        if waited:
            await asyncio.wait([task for _, task in waited])
        for item, _ in waited:
            if item.failure is not None:
                raise item.failure
        return bool(waited)

    async def _transcribe(self, command: Transcribe) -> None:
        session, item, turn = self._session, command.item, self._overhearing
        try:
            if turn is not None and command.utterance is not None and turn.item_id == item.id:
                self._overhearing = None
                text = await turn.whole(command.utterance)
            else:
                text = await transcript(item.sound, session.config, self._service, id=f"asr_{item.id}")
        except Exception as error:
            self.emit(session.not_transcribed(item, as_service_error(error)))
        else:
            self.emit(session.transcribed(item, text))

    def _overhear(self, command: Overhear) -> None:
        turn = self._overhearing
        if turn is None or turn.item_id != command.item_id:
            if turn is not None:  # of a turn that was dropped
                self._start(self._transcripts, turn.item_id, turn.close())
            turn = Overhearing(command.item_id, self._session, self._chat, self._service, self.emit, self._pace)
            self._overhearing = turn
        turn.grown(command.utterance)

    def _wake(self, command: Wake) -> None:
        if self._waking is not None:
            self._waking.cancel()

        def wake() -> None:
            self._active = asyncio.get_running_loop().time()
            self.emit(self._session.woken(command.number))

        self._waking = asyncio.get_running_loop().call_later(command.seconds, wake)

    async def _watch_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = self._active + self._limits.idle - loop.time()
            if self._responses or self._transcripts:
                left = self._limits.idle
            if left <= 0:
                self.end(Close(_GOING_AWAY, IdleTimeout(f"the session was idle for {self._limits.idle:g} seconds")))
                return
            await asyncio.sleep(left)

    def _start(self, tasks: dict[str, asyncio.Task[None]], id: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks[id] = task

        def done(_: asyncio.Future[None]) -> None:
            tasks.pop(id, None)
            if self._service.drain.begun:
                self._drain()

        task.add_done_callback(done)

    # The end.

    def _drain(self) -> None:
        """Close when no response runs: the server takes no more work."""
        if not self._responses:
            self._expire()

    def _expire(self) -> None:
        self.end(Close(_GOING_AWAY, ModelNotReady.shutting_down()))

    async def _close(self, close: Close, reader: asyncio.Task[None], writer: asyncio.Task[None]) -> None:
        """Say why, send what waits, and close the socket.

        The reader ends first: granian's close waits for a receive that waits.
        """
        self.emit([error_event(close.error, None)])
        for response in [*self._session.responses.values()]:
            self.emit(self._session.failed(response, close.error))
        self._outbox.close()
        reader.cancel()
        await asyncio.wait([reader, writer], timeout=self._limits.farewell)
        writer.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._limits.farewell):
                reason = f"{close.error.type}.{close.error.code}"
                await self._send({"type": "websocket.close", "code": close.code, "reason": reason})


def _log_turn(session_id: str, response: RunningResponse, seconds: float) -> None:
    """One line per response, as there is one per request."""
    usage = response.usage
    _log.info(
        "turn",
        session_id=session_id,
        response_id=response.id,
        status=response.status,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.input_token_details.cached_tokens or None,
        output_tokens=usage.output_tokens,
        duration=round(seconds, 6),
    )
