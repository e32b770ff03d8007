"""The pixels of all requests: their bound, and those that are kept."""

from __future__ import annotations

import asyncio
import gc

import pytest

from providers.chat.types import ImagePart
from providers.errors import OutOfMemory
from server.media.decoded import DecodedPictures
from tests.unit.server.media.drawn import BLUE, RED, plain


async def test_a_picture_of_a_later_turn_is_not_decoded_again() -> None:
    decoded = DecodedPictures(kept_bytes=30)
    first = await decoded.part(plain(4, 2), 64)
    assert await decoded.part(plain(4, 2), 64) is first
    assert (await decoded.part(plain(4, 2), 2)).width == 2
    assert decoded.held == 24 + 6

    await decoded.part(plain(4, 2, BLUE), 64)  # pushes the first out
    assert await decoded.part(plain(4, 2, RED), 64) is not first


async def test_pixels_count_until_the_last_request_that_has_them_has_ended() -> None:
    decoded = DecodedPictures(max_bytes=100, kept_bytes=0)
    parts = [await decoded.part(plain(4, 2), 64), ImagePart.of(4, 5, bytes(60))]
    decoded.hold(parts[1:])
    assert decoded.held == 84
    decoded.check(16)
    with pytest.raises(OutOfMemory) as refused:
        decoded.check(17)
    assert refused.value.retry_after == 1.0

    parts.clear()
    await asyncio.sleep(0)  # the loop itself has the last result until its next step
    gc.collect()
    assert decoded.held == 0
    decoded.check(10_000)  # one request always has room
