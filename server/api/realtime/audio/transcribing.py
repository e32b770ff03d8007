"""Transcripts of a turn while it goes on: windows of its growing sound, in the time that other requests leave."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs

from providers.errors import ServiceError
from server.api.realtime.audio.turns import Utterance

__all__ = ["Pace", "Transcribing"]

logger = logging.getLogger(__name__)

_STEP_SECONDS = 0.5
"""A window has at least this much more sound than the one before, and as much as that one took to be transcribed."""
_LONGEST_MS = 28_000
"""The model hears 30 seconds together. A longer sound is transcribed when the turn has ended."""
_PAUSE_MS = 160
"""After this much silence the turn may be over. The window is then its transcript, unless more words follow."""

_SLOW_SECONDS = 1.0
"""Where a transcript takes longer, no window starts: the whole turn would wait for its end."""

Transcribe = Callable[[Utterance], Coroutine[Any, Any, str]]


@attrs.frozen
class _Window:
    heard: Utterance
    task: asyncio.Task[str]

    def holds_all_of(self, utterance: Utterance) -> bool:
        """Whether there is no speech after the window, and it does not end within the last word."""
        same = self.heard.start_ms == utterance.start_ms
        return same and self.heard.end_ms >= utterance.voiced_ms + min(
            _PAUSE_MS, utterance.end_ms - utterance.voiced_ms
        )


@attrs.define
class Pace:
    """How fast the model is, in the turns of one session."""

    seconds: float = 0.0
    """Of the last transcript; 0: there is none yet."""


class Transcribing:
    """Transcribes one turn. One window is in flight; of the sound that comes meanwhile, the newest is the next one.

    A window that fails is left out: only `whole` raises.
    """

    def __init__(
        self,
        transcribe: Transcribe,
        heard: Callable[[str, bool], Awaitable[None]],
        busy: Callable[[], bool],
        pace: Pace | None = None,
    ) -> None:
        """`heard` receives each transcript, and whether it may be that of the whole turn. `busy`: whether other
        requests want the model, so that no window starts."""
        self._transcribe, self._heard, self._busy = transcribe, heard, busy
        self._window: _Window | None = None
        self._next: Utterance | None = None
        self._pace = pace or Pace()
        self._follow: asyncio.Task[None] | None = None

    def grown(self, utterance: Utterance) -> None:
        """Note the sound of the turn so far."""
        if utterance.duration_ms > _LONGEST_MS:
            return
        self._next = utterance
        if self._follow is None or self._follow.done():
            self._start()

    async def whole(self, utterance: Utterance) -> str:
        """The transcript of the turn, which has ended.

        Raises:
            ServiceError: any error of the model.
        """
        window = self._window
        if window is not None and window.holds_all_of(utterance):
            try:
                return await asyncio.shield(window.task)
            except ServiceError as error:
                logger.debug("a window of a turn failed: %s", error)
            finally:
                await self.close()
        await self.close()
        return await self._timed(utterance)

    async def close(self) -> None:
        """End what is in flight. Idempotent."""
        follow, window = self._follow, self._window
        self._follow, self._next, self._window = None, None, None
        tasks: list[asyncio.Task[Any]] = [] if follow is None else [follow]
        tasks += [] if window is None else [window.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self) -> None:
        heard = self._next
        if heard is None or not self._worth(heard) or self._busy():
            return
        self._next = None
        self._window = _Window(heard, asyncio.create_task(self._timed(heard)))
        self._follow = asyncio.create_task(self._followed(self._window))

    def _worth(self, heard: Utterance) -> bool:
        """Whether a transcript of this sound would say something that the last one does not."""
        last = self._window
        if self._pace.seconds > _SLOW_SECONDS:
            return False
        if last is None:
            return heard.duration_ms >= _STEP_SECONDS * 1000
        if last.holds_all_of(heard):
            return False
        paused = heard.end_ms - heard.voiced_ms >= _PAUSE_MS
        return paused or heard.end_ms - last.heard.end_ms >= 1000 * max(_STEP_SECONDS, self._pace.seconds)

    async def _timed(self, heard: Utterance) -> str:
        begun = time.monotonic()
        text = await self._transcribe(heard)
        self._pace.seconds = time.monotonic() - begun
        return text

    async def _followed(self, window: _Window) -> None:
        try:
            text = await asyncio.shield(window.task)
        except ServiceError as error:
            logger.debug("a window of a turn failed: %s", error)
        else:
            await self._heard(text, window.heard.end_ms - window.heard.voiced_ms >= _PAUSE_MS)
        self._follow = None
        self._start()
