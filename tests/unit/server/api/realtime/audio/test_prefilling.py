from __future__ import annotations

import asyncio

from providers.errors import InternalError
from server.api.realtime.audio.prefilling import Prefilling


async def test_one_prompt_is_in_flight_and_the_newest_is_next() -> None:
    asked: list[str] = []
    free, last = asyncio.Event(), asyncio.Event()

    async def prefill(text: str) -> None:
        asked.append(text)
        await free.wait()
        if text == "a b c":
            last.set()
        else:
            raise InternalError.unforeseen()

    prefilling = Prefilling(prefill)
    for text in ("a", "a b", "a b c"):
        prefilling.said(text)
        await asyncio.sleep(0)
    assert asked == ["a"]

    free.set()
    await last.wait()
    assert asked == ["a", "a b c"]  # the first one failed, which no caller notices
    await prefilling.close()


async def test_closing_ends_what_is_in_flight() -> None:
    ended = asyncio.Event()

    async def prefill(text: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    prefilling = Prefilling(prefill)
    prefilling.said("a")
    await asyncio.sleep(0)

    await prefilling.close()
    await prefilling.close()

    assert ended.is_set()
