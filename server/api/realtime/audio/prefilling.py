"""Prompts that are computed ahead, while the user still speaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from providers.errors import ServiceError

__all__ = ["Prefilling"]

logger = logging.getLogger(__name__)


class Prefilling:
    """One prompt is in flight; of those that come meanwhile, the newest is the next one. A failure is left out."""

    def __init__(self, prefill: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """`prefill` computes the prompt that ends with these words of the user."""
        self._prefill = prefill
        self._next: str | None = None
        self._task: asyncio.Task[None] | None = None

    def said(self, text: str) -> None:
        """Compute the prompt with these words next."""
        self._next = text
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End what is in flight. Idempotent."""
        task, self._task, self._next = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while (text := self._next) is not None:
            self._next = None
            try:
                await self._prefill(text)
            except ServiceError as error:
                logger.debug("a prompt could not be computed ahead: %s", error)
