"""What happens to a speech whose engine is another process."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from otel import names
from otel.testing import capture_spans
from providers.engine_host.host import EngineHost
from providers.errors import EngineCrashed, GenerationTimeout, InvalidRequest, ModelNotReady
from providers.extras import Extra
from providers.spec import ModelSpec
from providers.speech.protocol import SpeechProvider
from providers.speech.provider import EngineSpeechProvider
from providers.speech.types import SpeechAccepted, SpeechEvent, SpeechFinished, SpeechPiece, SpeechRequest, VoiceInfo

FAKE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))
PATIENCE = 20.0


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., EngineSpeechProvider]]:
    """Start providers that are stopped when the test ends. `warmup=True` makes the engine one without voices."""
    async with AsyncExitStack() as stack:

        async def start(**spec: object) -> EngineSpeechProvider:
            fields = {
                "path": str(tmp_path / "told"),
                "model_type": "tts",
                "warmup": False,
                "max_concurrency": 1,
                **spec,
            }
            model = ModelSpec(name="fake", **fields)
            provider = EngineSpeechProvider(model, host=EngineHost(model, command=FAKE, grace=0.5))
            stack.push_async_callback(provider.stop)
            await provider.start()
            if not model.lazy:
                await asyncio.wait_for(provider.wait_ready(), PATIENCE)
            return provider

        yield start


def told(provider: SpeechProvider) -> list[str]:
    file = Path(provider.spec.path)
    return file.read_text().splitlines() if file.exists() else []


def request(text: str = "one two", voice: str = "af_heart", **fields: object) -> SpeechRequest:
    return SpeechRequest(id="r1", text=text, voices=[(voice, 1.0)], **fields)


async def speak(provider: SpeechProvider, asked: SpeechRequest) -> list[SpeechEvent]:
    async with asyncio.timeout(PATIENCE), aclosing(provider.speak(asked)) as events:
        return [event async for event in events]


async def test_the_pieces_of_the_engine_come_in_order(serve):
    provider = await serve()
    accepted, one, two, finished = await speak(provider, request())

    assert isinstance(provider, SpeechProvider)
    assert accepted == SpeechAccepted(2, 7)
    assert [one.text, two.text] == ["one", "two"]
    assert (one.phonemes[-1].end, two.phonemes[0].start) == (600, 600)
    assert isinstance(finished, SpeechFinished)
    assert provider.card.capabilities == ("speech",)
    assert provider.queue_stats.completed == 1


async def test_requests_to_the_engine_name_its_own_voices(serve):
    provider = await serve()
    await speak(provider, request(voice="marin"))
    await speak(provider, SpeechRequest(id="r", text="one", voices=[]))
    await speak(provider, SpeechRequest(id="r", text="one", voices=[("am_first", 1.0), ("marin", 3.0)]))

    assert told(provider) == [
        "[('af_heart', 1.0)]",
        "[('af_heart', 1.0)]",
        "[('am_first', 0.25), ('af_heart', 0.75)]",
    ]


@pytest.mark.parametrize("voice", ["zork", "jf_alpha"])
async def test_a_voice_that_cannot_speak_is_refused_and_the_engine_never_asked(serve, voice: str):
    provider = await serve()
    with pytest.raises(InvalidRequest, match=r"am_first.*marin") as caught:
        await speak(provider, request(voice=voice))

    assert caught.value.param == "voice"
    assert told(provider) == []
    assert (provider.queue_stats.failed, provider.queue_stats.active) == (1, 0)


async def test_a_model_without_voices_is_refused(serve):
    with pytest.raises(InvalidRequest, match="no voices"):
        await speak(await serve(warmup=True), request())


async def test_the_voices_are_those_that_the_engine_reported(serve):
    assert [voice.id for voice in await (await serve()).voices()] == ["am_first", "af_heart", "jf_alpha"]


async def test_listing_the_voices_of_a_lazy_model_that_is_not_here_fetches_and_loads_nothing(serve):
    provider = await serve(lazy=True)
    assert await asyncio.wait_for(provider.voices(), PATIENCE) == []
    assert provider.card.status == "unloaded"


async def test_speech_loads_a_lazy_model_and_its_voices_are_listed_then(serve):
    provider = await serve(lazy=True)
    assert len(await speak(provider, request(voice="marin"))) == 4
    assert len(await asyncio.wait_for(provider.voices(), PATIENCE)) == 3


async def test_the_voices_of_a_lazy_model_that_is_here_are_listed_without_loading_it(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(Extra, "missing", property(lambda extra: extra.modules))
    (tmp_path / "model" / "voices").mkdir(parents=True)
    for voice in ("bm_george", "af_heart", "jf_alpha"):
        (tmp_path / "model" / "voices" / f"{voice}.safetensors").touch()
    provider = await serve(lazy=True, path=str(tmp_path / "model"))

    listed = await asyncio.wait_for(provider.voices(), PATIENCE)

    assert listed == [
        VoiceInfo("af_heart", "en-US", "female", "Heart"),
        VoiceInfo("bm_george", "en-GB", "male", "George"),
        VoiceInfo("jf_alpha", "ja-JP", "female", "Alpha", spoken=False),
    ]
    assert provider.card.status == "unloaded"


async def test_a_stopped_model_has_no_voices(serve):
    provider = await serve()
    await provider.stop()
    with pytest.raises(ModelNotReady):
        await provider.voices()


async def test_who_leaves_in_the_middle_cancels_in_the_engine_before_the_next_request(serve):
    provider = await serve()
    async with asyncio.timeout(PATIENCE), aclosing(provider.speak(request("one hold"))) as events:
        async for event in events:
            if isinstance(event, SpeechPiece):
                break
    await speak(provider, request("next"))

    assert [line == "cancelled" for line in told(provider)] == [False, True, False]
    assert provider.queue_stats.cancelled == 1


async def test_a_speech_over_its_timeout_is_an_error_and_cancelled(serve):
    provider = await serve()
    with pytest.raises(GenerationTimeout):
        await speak(provider, request("one hold", timeout=0.05))
    await speak(provider, request("next"))
    assert told(provider)[1] == "cancelled"


async def test_the_engine_s_death_is_reported_after_its_last_events(serve):
    provider = await serve()
    async with asyncio.timeout(PATIENCE), aclosing(provider.speak(request("one crash"))) as events:
        assert [type(await anext(events)) for _ in range(2)] == [SpeechAccepted, SpeechPiece]
        with pytest.raises(EngineCrashed):
            await anext(events)


async def test_a_speech_is_a_span_with_a_child_for_every_piece(serve):
    provider = await serve()
    with capture_spans() as spans:
        await speak(provider, request(speed=2.0))

    speech = spans.one("speech fake")
    children = [span for span in spans.all() if span.name == "sentence"]
    attributes = dict(speech.attributes or {})
    assert [span.parent.span_id for span in children] == [speech.context.span_id] * 2
    assert attributes[names.SPEECH_VOICE] == "af_heart"
    assert (attributes[names.SPEECH_SPEED], attributes[names.SPEECH_CHARACTERS]) == (2.0, 7)
    assert attributes[names.SPEECH_DURATION] == 1200 / 24_000
    assert attributes[names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] > 0
    assert dict(children[0].attributes or {})[names.SPEECH_DURATION] == 600 / 24_000
    assert all(speech.start_time <= span.start_time <= span.end_time <= speech.end_time for span in children)
    assert "one" not in str([dict(span.attributes or {}) for span in spans.all()]), "what is said is nobody's business"
