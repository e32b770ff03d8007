"""Several generation requests, answered as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from providers.chat.types import GenerationEvent, GenerationRequest

__all__ = ["merged"]

_AHEAD = 64
"""Events read ahead of the consumer, over all requests together."""

Generate = Callable[[GenerationRequest], AsyncGenerator[GenerationEvent, None]]


async def merged(
    generate: Generate, requests: Sequence[GenerationRequest], *, at_once: int
) -> AsyncGenerator[GenerationEvent, None]:
    """The events of all requests as they arrive. At most `at_once` requests run at the same time.

    Answers are numbered over all requests: those of the second follow those of the first. The first failure ends all.
    Consume the generator under `contextlib.aclosing`; closing it closes every request.

    Raises:
        ServiceError: any error of `generate`.
    """
    events: asyncio.Queue[GenerationEvent | Exception | None] = asyncio.Queue(_AHEAD)
    places = asyncio.Semaphore(at_once)

    async def answer(request: GenerationRequest, first: int) -> None:
        try:
            async with places, aclosing(generate(request)) as source:
                async for event in source:
                    await events.put(_renumbered(event, first))
        except Exception as error:
            await events.put(error)
        else:
            await events.put(None)

    firsts = [sum(request.n for request in requests[:number]) for number in range(len(requests))]
    tasks = [asyncio.create_task(answer(request, first)) for request, first in zip(requests, firsts, strict=True)]
    unfinished = len(tasks)
    try:
        while unfinished:
            event = await events.get()
            if isinstance(event, Exception):
                raise event
            if event is None:
                unfinished -= 1
            else:
                yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _renumbered(event: GenerationEvent, first: int) -> GenerationEvent:
    if not first:
        return event
    return msgspec.structs.replace(event, index=event.index + first)
