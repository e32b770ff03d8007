"""Windows of a growing turn: one in flight, the newest next, and the last one as the transcript of the turn."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from providers.errors import InternalError, ServiceError
from server.api.realtime.audio.transcribing import Pace, Transcribing
from server.api.realtime.audio.turns import Utterance


def utterance(milliseconds: int, *, silent: int = 0, start: int = 0) -> Utterance:
    end = start + milliseconds
    return Utterance(audio=bytes(48 * milliseconds), start_ms=start, voiced_ms=end - silent)


@attrs.define
class Model:
    """Transcribes when a test allows it; a transcript is the number of milliseconds that it was given."""

    asked: list[Utterance] = attrs.field(factory=list)
    answers: list[asyncio.Future[str]] = attrs.field(factory=list)
    heard: list[tuple[str, bool]] = attrs.field(factory=list)
    busy: bool = False

    def transcribing(self) -> Transcribing:
        return Transcribing(self.transcribe, self.note, lambda: self.busy)

    async def transcribe(self, sound: Utterance) -> str:
        self.asked.append(sound)
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def note(self, text: str, whole: bool) -> None:
        self.heard.append((text, whole))

    async def answer(self, error: ServiceError | None = None) -> None:
        """Answer the last request, and let what waits for it run."""
        if error is None:
            self.answers[-1].set_result(f"{self.asked[-1].duration_ms:g}")
        else:
            self.answers[-1].set_exception(error)
        await settle()

    @property
    def lengths(self) -> list[float]:
        return [sound.duration_ms for sound in self.asked]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_window_is_in_flight_and_the_newest_is_next() -> None:
    model = Model()
    transcribing = model.transcribing()
    for length in (300, 600, 900, 1200, 1500):
        transcribing.grown(utterance(length))
        await settle()
    assert model.lengths == [600]

    await model.answer()

    assert model.lengths == [600, 1500]
    assert model.heard == [("600", False)]
    await transcribing.close()


async def test_no_window_starts_while_other_requests_want_the_model() -> None:
    model = Model(busy=True)
    transcribing = model.transcribing()
    transcribing.grown(utterance(1000))
    await settle()
    assert model.asked == []

    model.busy = False
    transcribing.grown(utterance(1100))
    await settle()
    assert model.lengths == [1100]
    await transcribing.close()


async def test_the_window_of_a_pause_is_the_transcript_of_the_turn() -> None:
    model = Model()
    transcribing = model.transcribing()
    transcribing.grown(utterance(1200, silent=200))
    await settle()
    transcribing.grown(utterance(1400, silent=400))
    await model.answer()
    assert model.heard == [("1200", True)]

    assert await transcribing.whole(utterance(1500, silent=500)) == "1200"
    assert model.lengths == [1200]


async def test_a_window_in_flight_that_holds_all_is_waited_for() -> None:
    model = Model()
    transcribing = model.transcribing()
    transcribing.grown(utterance(1200, silent=200))
    await settle()
    whole = asyncio.create_task(transcribing.whole(utterance(1500, silent=500)))
    await settle()
    await model.answer()

    assert await whole == "1200"


async def test_words_after_a_pause_need_another_window() -> None:
    model = Model()
    transcribing = model.transcribing()
    transcribing.grown(utterance(1200, silent=200))
    await settle()
    whole = asyncio.create_task(transcribing.whole(utterance(2000, silent=500)))
    await settle()
    assert model.answers[0].cancelled()
    await model.answer()

    assert await whole == "2000"


async def test_a_window_that_fails_is_left_out() -> None:
    model = Model()
    transcribing = model.transcribing()
    transcribing.grown(utterance(1200, silent=200))
    await settle()
    whole = asyncio.create_task(transcribing.whole(utterance(1500, silent=500)))
    await settle()
    await model.answer(InternalError.unforeseen())
    await model.answer()

    assert await whole == "1500"
    assert model.heard == []


async def test_an_error_of_the_whole_is_raised() -> None:
    model = Model()
    transcribing = model.transcribing()
    whole = asyncio.create_task(transcribing.whole(utterance(1500, silent=500)))
    await settle()
    await model.answer(InternalError.unforeseen())

    with pytest.raises(InternalError):
        await whole


async def test_a_turn_that_is_longer_than_a_window_is_transcribed_at_its_end() -> None:
    model = Model()
    transcribing = model.transcribing()
    transcribing.grown(utterance(28_001))
    await settle()

    assert model.asked == []


async def test_closing_ends_the_window_in_flight() -> None:
    model = Model()
    transcribing = model.transcribing()
    transcribing.grown(utterance(1000))
    await settle()
    transcribing.grown(utterance(2000))

    await transcribing.close()
    await settle()

    assert model.answers[0].cancelled()
    assert model.lengths == [1000]


async def test_no_window_starts_where_the_model_is_slow() -> None:
    model, pace = Model(), Pace(seconds=2.0)
    transcribing = Transcribing(model.transcribe, model.note, lambda: False, pace)
    transcribing.grown(utterance(1200, silent=200))
    await settle()
    assert model.asked == []

    whole = asyncio.create_task(transcribing.whole(utterance(1500, silent=500)))
    await settle()
    await model.answer()

    assert await whole == "1500"
    assert pace.seconds < 2.0
