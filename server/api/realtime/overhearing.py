"""The work on a turn that goes on: transcripts of its sound so far, and the prompt that ends with their words."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from providers.chat.protocol import ChatProvider
from providers.errors import ServiceError
from server.api.realtime.answering import prefilled, transcriber, transcript
from server.api.realtime.audio.prefilling import Prefilling
from server.api.realtime.audio.transcribing import Pace, Transcribing
from server.api.realtime.audio.turns import Utterance
from server.api.realtime.commands import Output
from server.api.realtime.session import Session
from server.dependencies import Service

__all__ = ["Overhearing"]


_UNKNOWN = "…"
"""Stands for words that are not known yet, so that what comes before them is computed: templates want a user's turn."""


class Overhearing:
    """Of one turn."""

    def __init__(
        self,
        item_id: str,
        session: Session,
        chat: ChatProvider,
        service: Service,
        emit: Callable[[Iterable[Output]], None],
        pace: Pace,
    ) -> None:
        self.item_id = item_id
        self._session, self._chat, self._service, self._emit = session, chat, service, emit
        self._windows = 0
        self._transcribing = Transcribing(self._transcribe, self._heard, self._busy, pace)
        self._prefilling = Prefilling(self._prefill)
        if session.listening.answers_turns:
            self._prefilling.said(_UNKNOWN)

    def grown(self, utterance: Utterance) -> None:
        """Note the sound of the turn so far."""
        self._transcribing.grown(utterance)

    async def whole(self, utterance: Utterance) -> str:
        """The transcript of the turn, which has ended.

        Raises:
            ServiceError: any error of the model.
        """
        try:
            return await self._transcribing.whole(utterance)
        finally:
            await self.close()

    async def close(self) -> None:
        """End what is in flight: what it has computed of a prompt is kept. Idempotent."""
        await self._transcribing.close()
        await self._prefilling.close()

    async def _transcribe(self, utterance: Utterance) -> str:
        self._windows += 1
        id = f"asr_{self.item_id}_{self._windows}"
        return await transcript(utterance.audio, self._session.config, self._service, id=id)

    async def _heard(self, text: str, whole: bool) -> None:
        self._emit(self._session.overheard(self.item_id, text))
        words = text if whole else self._session.listening.certain
        if words and self._session.listening.answers_turns:
            self._prefilling.said(words)

    async def _prefill(self, words: str) -> None:
        items = [item.wire for item in self._session.conversation]
        await prefilled(words, items, self._session.config, self._chat, self._service)

    def _busy(self) -> bool:
        """Whether a window would take a place that another request could want, or there is no such model."""
        try:
            provider = transcriber(self._session.config, self._service)
        except ServiceError:
            return True
        stats = provider.queue_stats
        return stats.pending > 0 or stats.active >= provider.spec.max_concurrency
