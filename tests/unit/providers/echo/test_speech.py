"""What a client hears of the echo model."""

from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise

import numpy as np
import pytest

from providers.chat.protocol import ChatProvider
from providers.echo.provider import EchoProvider
from providers.errors import EngineCrashed, GenerationTimeout, InvalidRequest, ModelNotReady
from providers.image.protocol import ImageProvider
from providers.spec import ModelSpec
from providers.speech.protocol import SpeechProvider
from providers.speech.types import SpeechAccepted, SpeechEvent, SpeechFinished, SpeechPiece, SpeechRequest


async def echo(**fields: object) -> EchoProvider:
    provider = EchoProvider(ModelSpec(**({"name": "echo", "path": "", "model_type": "echo"} | fields)))
    await provider.start()
    return provider


def request(text: str = "Hi you. Bye!", voice: str = "af_heart", **fields: object) -> SpeechRequest:
    return SpeechRequest(id="r1", text=text, voices=[(voice, 1.0)], **fields)


async def speak(provider: SpeechProvider, asked: SpeechRequest) -> list[SpeechEvent]:
    async with aclosing(provider.speak(asked)) as events:
        return [event async for event in events]


def pieces(events: Sequence[SpeechEvent]) -> list[SpeechPiece]:
    return [event for event in events if isinstance(event, SpeechPiece)]


def pitch(piece: SpeechPiece) -> float:
    """Hertz of the loudest tone."""
    samples = np.frombuffer(piece.audio, "<i2")
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * 24_000 / len(samples))


async def test_chats_speaks_and_paints():
    provider = await echo()
    assert isinstance(provider, SpeechProvider)
    assert isinstance(provider, ChatProvider)
    assert isinstance(provider, ImageProvider)
    assert provider.card.capabilities == ("chat", "speech", "image")


async def test_a_sentence_is_a_piece_and_its_times_go_on_from_the_one_before():
    accepted, one, two, finished = await speak(await echo(), request())

    assert accepted == SpeechAccepted(2, 12)
    assert [one.text, two.text] == ["Hi you.", "Bye!"]
    assert [span.word for span in (*one.words, *two.words)] == ["Hi", "you", "Bye"]
    spans = [*one.phonemes, *two.phonemes]
    assert spans[0].start == 0
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert spans[-1].end == len(one.audio + two.audio) // 2 == finished.samples


async def test_audio_is_silent_exactly_where_its_times_have_no_phoneme():
    (piece,) = pieces(await speak(await echo(), request("Hi you.")))
    samples = np.frombuffer(piece.audio, "<i2")
    for span in piece.phonemes:
        assert bool(samples[span.start : span.end].any()) == bool(span.phoneme), span


async def test_speed_scales_the_sounds():
    slow, fast = [pieces(await speak(await echo(), request("Hi", speed=speed)))[0] for speed in (1.0, 2.0)]
    assert [span.end - span.start for span in slow.words] == [2 * (span.end - span.start) for span in fast.words]


async def test_a_woman_speaks_higher_than_a_man_and_a_mix_between_them():
    provider = await echo()
    woman, man = [pitch(pieces(await speak(provider, request("mmmm", voice)))[0]) for voice in ("af_heart", "am_puck")]
    mixed = SpeechRequest(id="r", text="mmmm", voices=[("af_heart", 1.0), ("am_puck", 1.0)])
    assert man < pitch(pieces(await speak(provider, mixed))[0]) < woman


@pytest.mark.parametrize("text", ["...", "\U0001f44d", "!?", ""])
async def test_text_without_words_gives_no_pieces(text: str):
    accepted, finished = await speak(await echo(), request(text))
    assert (accepted.pieces, finished.samples) == (0, 0)
    assert isinstance(finished, SpeechFinished)


@pytest.mark.parametrize("text", ["word " * 500, "x" * 5000, "a" + "!" * 1000])
async def test_a_text_without_end_is_spoken_in_parts(text: str):
    accepted, *spoken, _ = await speak(await echo(), request(text, speed=4.0))
    assert accepted.pieces == len(spoken)
    assert all(0 < len(piece.text) <= 200 and piece.words for piece in spoken)
    assert "".join(span.word for piece in spoken for span in piece.words) == text.replace(" ", "").replace("!", "")


async def test_the_refusal_of_an_unknown_voice_lists_the_known_ones():
    with pytest.raises(InvalidRequest, match="bf_emma") as caught:
        await speak(await echo(), request(voice="zork"))
    assert caught.value.param == "voice"
    assert {"bf_emma", "af_heart"} <= {voice.id for voice in await (await echo()).voices()}


async def test_breaks_off_after_the_configured_number_of_sentences():
    provider = await echo(path="fail_after=1")
    async with aclosing(provider.speak(request())) as events:
        assert [type(await anext(events)) for _ in range(2)] == [SpeechAccepted, SpeechPiece]
        with pytest.raises(EngineCrashed):
            await anext(events)


async def test_takes_its_time_and_the_queue_is_the_one_of_its_chats():
    provider = await echo(path="delay=30", max_concurrency=1)
    with pytest.raises(GenerationTimeout):
        await speak(provider, request(timeout=0.01))
    assert provider.queue_stats.failed == 1

    async with aclosing(provider.speak(request())) as events:
        assert isinstance(await anext(events), SpeechAccepted)
        await provider.stop()
        with pytest.raises(ModelNotReady):
            await anext(events)
