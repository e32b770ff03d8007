"""The speech provider that answers from an engine process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from providers.engine_host.event_stream import Mailbox
from providers.engine_host.provider import EngineProvider
from providers.speech.queued import QueuedSpeechProvider
from providers.speech.turns import resolved
from providers.speech.types import SpeechEvent, SpeechRequest, VoiceInfo
from providers.speech.voices import voices_in
from providers.weights import local_folder

__all__ = ["EngineSpeechProvider"]


class EngineSpeechProvider(EngineProvider[SpeechRequest, SpeechEvent], QueuedSpeechProvider):
    """A `SpeechProvider` whose model lives in a process of its own."""

    async def voices(self) -> Sequence[VoiceInfo]:
        if self._loads_on_use and self.host.info is None:
            # A client that only lists the voices neither waits for the weights nor makes the server fetch them.
            folder = await asyncio.to_thread(local_folder, self._spec.path)
            return [] if folder is None else voices_in(folder)
        if not self._loads_on_use and (refusal := self._refusal()) is not None:
            raise refusal
        return self._known_voices()

    def _events(self, request: SpeechRequest) -> Mailbox[SpeechEvent]:
        # Not before the queue: the voices are known once the model is loaded.
        return super()._events(resolved(request, self._known_voices()))

    def _known_voices(self) -> list[VoiceInfo]:
        details = {} if self.host.info is None else self.host.info.details
        return msgspec.convert(details.get("voices", []), list[VoiceInfo])
