"""Audio, streamed to one client while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from litestar.types import Receive, Scope, Send

from providers.errors import InternalError
from providers.speech.types import SpeechAccepted, SpeechFinished
from server.api.speech.pieces import EncodedAudio
from server.api.speech.response import unspoken_headers
from server.disconnect import answering
from server.drain import Drain
from server.errors import DISCONNECTED, ClientDisconnected, as_service_error, note_failure
from server.streaming.unsent import Unsent

__all__ = ["AudioStream"]

AudioSource = AbstractAsyncContextManager[AsyncIterator[SpeechAccepted | EncodedAudio | SpeechFinished]]


class AudioStream:
    """An ASGI application that streams one file.

    * Nothing is sent before the first bytes of audio, so a failure until then keeps its status.
    * A later failure breaks the connection: no format can mark a file as incomplete, and a clean end would look whole.
    * When the client goes away or the server stops, the source is closed immediately.
    """

    def __init__(self, source: AudioSource, media_type: str, *, disposition: str, drain: Drain) -> None:
        self._source = source
        self._headers = [
            (b"content-type", media_type.encode()),
            (b"content-disposition", disposition.encode()),
            (b"cache-control", b"no-store"),
        ]
        self._drain = drain
        self._unsent = Unsent()
        self._wake = asyncio.Event()
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to the end.

        Raises:
            ServiceError: the answer failed before anything was sent.
            ClientDisconnected: the client went away before anything was sent.
        """
        try:
            async with answering(receive, self._drain):
                await self._deliver(send)
        except ClientDisconnected:
            if not self._started:
                raise
            scope["state"][DISCONNECTED] = True
        except Exception as error:
            if not self._started:
                raise
            # Returning with an unfinished body makes the HTTP server close the connection in the middle of it.
            note_failure(scope, as_service_error(error))

    async def _deliver(self, send: Send) -> None:
        reader = asyncio.create_task(self._read())
        reader.add_done_callback(lambda _: self._wake.set())
        try:
            while not reader.done() or self._unsent:
                await self._wake.wait()
                self._wake.clear()
                if self._unsent:
                    await self._send(send, self._unsent.take())
            if reader.cancelled():
                raise InternalError("the speech was cancelled inside the server")
            reader.result()
            await self._send(send, b"", more=False)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self) -> None:
        """Read ahead, so that the engine need not wait for a slow client."""
        async with self._source as events:
            async for event in events:
                if isinstance(event, SpeechAccepted):
                    self._headers += unspoken_headers(event.unspoken)
                elif isinstance(event, EncodedAudio) and event.audio:
                    self._unsent.add(event.audio)
                    self._wake.set()
                    await self._unsent.room()
                elif isinstance(event, SpeechFinished):
                    return
        raise InternalError.truncated("speech")

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": body, "more_body": more})
