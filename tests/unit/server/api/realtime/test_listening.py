"""Turns of the user in a session: found in recorded speech, answered, and interrupting answers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np
import pytest
from litestar import Litestar

from providers.chat.types import Accepted, ChatPrompt, GenerationEvent, GenerationRequest, TextDelta
from providers.echo.provider import EchoProvider
from providers.protocols import QueueStats
from providers.spec import ModelSpec
from providers.transcription.types import TranscriptionAccepted, TranscriptionEvent, TranscriptionRequest
from server.api.realtime.audio import playback, transcribing
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.providers.engines.recordings import RATE, silence
from tests.unit.server.api.realtime.audio.speech import pcm, recording
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.spoken.apps import repeat
from tests.unit.server.api.transcription.transcribers import FINISHED, FakeTranscriber, segment
from tests.unit.server.fakes import FakeChat, FakeRegistry

HELLO = pcm(np.concatenate([silence(0.5), recording("hello_world"), silence(0.8)]))
COUNTING = pcm(np.concatenate([silence(0.5), recording("counting"), silence(0.8)]))
STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@attrs.define
class Ears:
    """Hears the next of the texts in each turn, and the last one from then on."""

    texts: list[str]

    async def __call__(self, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        yield TranscriptionAccepted(None)
        text = self.texts[0] if len(self.texts) == 1 else self.texts.pop(0)
        if text:
            yield segment(" " + text, 0.0, 1.0)
        yield FINISHED


async def two_texts(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """A sentence that is spoken, and the beginning of another one. Then nothing."""
    yield Accepted(5, 0)
    yield TextDelta("One two three four five six. ")
    yield TextDelta("Seven ")
    await asyncio.Event().wait()


@attrs.define
class Talk:
    app: Litestar
    registry: FakeRegistry
    socket: Socket
    chat: FakeChat
    ears: FakeTranscriber

    def say(self, sound: bytes, size: int = 4800) -> None:
        for begin in range(0, len(sound), size):
            audio = b64encode(sound[begin : begin + size]).decode()
            self.socket.send("input_audio_buffer.append", audio=audio)

    def turns(self, **detection: Any) -> None:
        given = {"transcription": {}, "turn_detection": {"type": "server_vad", **detection}}
        self.socket.send("session.update", session={"audio": {"input": given}})

    async def now(self) -> None:
        """Wait until the server has handled all events that were sent."""
        self.socket.send("session.update", session={})
        await self.socket.until("session.updated")

    def answers(self) -> list[GenerationRequest]:
        return [request for request in self.chat.requests if not request.prefill_only]

    def busy(self) -> None:
        """Let another request wait for the model that transcribes: no windows are."""
        self.ears.queue_stats = QueueStats(pending=1)

    def count(self, type: str) -> int:
        return sum(event["type"] == type for event in self.socket.events)


def prompt(request: GenerationRequest) -> list[tuple[str, Any]]:
    assert isinstance(request.prompt, ChatPrompt)
    return [(turn.role, turn.content) for turn in request.prompt.messages]


@asynccontextmanager
async def talk(*texts: str, query: str = "", chat: FakeChat | None = None, **detection: Any) -> AsyncIterator[Talk]:
    chat = chat or FakeChat(script=repeat)
    ears = FakeTranscriber(script=Ears([*texts]))
    voice = EchoProvider(ModelSpec(name="voice", path="", model_type="echo"))
    await voice.start()
    registry = FakeRegistry((chat, voice, ears))  # type: ignore[arg-type]
    app = create_app(Settings(models=(chat.spec, voice.spec, ears.spec)), registry)
    async with connected(app, f"/v1/realtime?model=org/fake{query}") as socket:
        made = Talk(app, registry, socket, chat, ears)
        made.turns(**detection)
        await socket.until("session.updated")
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that playback reads."""
    seconds = [100.0]
    monkeypatch.setattr(playback, "now", lambda: seconds[0])
    return seconds


# ── turns ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_turn_is_found_transcribed_and_answered() -> None:
    async with talk("Hello world.") as made:
        made.say(HELLO)
        await made.socket.until("response.done")
        events = made.socket.events

    kinds = [event["type"] for event in events if not event["type"].startswith("response.")]
    assert kinds[2:] == [
        STARTED,
        STOPPED,
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        COMPLETED,
        "conversation.item.added",
        "conversation.item.done",
    ]
    started, stopped, committed, added = [event for event in events if event["type"] in kinds[2:6]][:4]
    ids = {event["item_id"] for event in events if event["type"].startswith(("input_", "conversation.item.input_"))}
    assert ids == {started["item_id"]} == {added["item"]["id"]}
    assert 100 <= started["audio_start_ms"] <= 560
    spoken = 1000 * len(recording("hello_world")) / RATE
    assert 500 + spoken - 300 <= stopped["audio_end_ms"] <= 500 + spoken + 600
    assert committed["previous_item_id"] is None
    assert prompt(made.answers()[0]) == [("user", "Hello world.")]


@pytest.mark.parametrize("form", ["audio/pcmu", "audio/pcma"])
async def test_a_turn_in_g711_is_found(form: str) -> None:
    import io

    import soundfile
    from scipy.signal import resample_poly

    samples = np.concatenate([silence(0.5), recording("hello_world"), silence(0.8)])
    file = io.BytesIO()
    subtype = "ULAW" if form == "audio/pcmu" else "ALAW"
    soundfile.write(file, resample_poly(samples, 1, 2), 8000, format="RAW", subtype=subtype)

    async with talk("Hello world.") as made:
        made.socket.send("session.update", session={"audio": {"input": {"format": {"type": form}}}})
        made.say(file.getvalue(), 800)
        started = await made.socket.until(STARTED)
        await made.socket.until("response.done")

    assert 100 <= started["audio_start_ms"] <= 560


async def test_a_long_piece_of_sound_holds_several_turns() -> None:
    async with talk("One.", "Two.") as made:
        made.say(HELLO + COUNTING, 1 << 20)
        await made.now()
        while made.count(COMPLETED) < 2:
            await made.socket.until(COMPLETED)

    assert (made.count(STARTED), made.count(STOPPED), made.count("error")) == (2, 2, 0)


async def test_without_words_there_is_no_answer() -> None:
    async with talk("") as made:
        made.say(HELLO)
        await made.socket.until(COMPLETED)
        await made.now()

    assert made.answers() == []


async def test_a_turn_can_stay_without_an_answer() -> None:
    async with talk("Hello.", create_response=False) as made:
        made.say(HELLO)
        await made.socket.until(COMPLETED)
        await made.now()
        assert made.chat.requests == []

        made.socket.send("response.create")
        await made.socket.until("response.done")

    assert prompt(made.answers()[0]) == [("user", "Hello.")]


async def test_words_that_go_on_before_the_answer_share_it() -> None:
    async with talk("One.", "Two.") as made:
        made.busy()
        gate = asyncio.Event()
        hears = made.ears.script

        async def waiting(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
            await gate.wait()
            async for event in hears(request):
                yield event

        made.ears.script = waiting
        made.say(HELLO)
        await made.socket.until(STOPPED)
        made.say(COUNTING[: len(COUNTING) // 2])
        await made.socket.until(STARTED)
        gate.set()
        await made.socket.until(COMPLETED)
        assert made.answers() == []

        made.say(COUNTING[len(COUNTING) // 2 :])
        await made.socket.until("response.done")

    said = [content for _, content in prompt(made.answers()[0])]
    assert said[0] == "One."
    assert len(said) == 2
    assert len(made.answers()) == 1


async def test_the_client_commits_without_turn_detection() -> None:
    async with talk("Hello.") as made:
        made.socket.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        made.say(HELLO)
        made.socket.send("input_audio_buffer.commit")
        await made.socket.until(COMPLETED)
        await made.now()

    assert made.count(STARTED) == 0
    assert made.answers() == []


async def test_a_turn_can_be_committed_before_its_end() -> None:
    async with talk("One two.") as made:
        made.say(COUNTING[: len(COUNTING) // 2])
        started = await made.socket.until(STARTED)
        made.socket.send("input_audio_buffer.commit")
        committed = await made.socket.until("input_audio_buffer.committed")
        await made.socket.until(COMPLETED)

    assert committed["item_id"] == started["item_id"]
    assert made.count(STOPPED) == 0


async def test_settings_of_turns_are_reported_and_checked() -> None:
    async with talk("Hello.", silence_duration_ms=300) as made:
        first, changed = (event["session"]["audio"]["input"]["turn_detection"] for event in made.socket.events)
        made.turns(threshold=2)
        wrong = await made.socket.until("error")
        made.socket.send("session.update", session={"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}})
        refused = await made.socket.until("error")

    assert first == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "create_response": True,
        "interrupt_response": True,
    }
    assert changed == {**first, "silence_duration_ms": 300}
    assert wrong["error"]["param"] == "session.audio.input.turn_detection.threshold"
    assert refused["error"]["code"] == "unsupported_parameter"


# ── while the user speaks ───────────────────────────────────────────────────────────────────────────────────


async def test_words_are_transcribed_and_read_while_they_are_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribing, "_SLOW_SECONDS", 60.0)  # this machine may be slow
    async with talk("One two", "One two three", "One two three four", "One two three four.") as made:
        half = len(COUNTING) * 3 // 4
        for begin in range(0, half, 4800):
            made.say(COUNTING[begin : begin + 4800])
            await made.now()
        async with asyncio.timeout(10):
            while not made.count("conversation.item.input_audio_transcription.delta"):
                await made.now()
        assert made.count(STOPPED) == 0
        made.say(COUNTING[half:])
        await made.socket.until("response.done")

    deltas = [
        event["delta"] for event in made.socket.events if event["type"].endswith("input_audio_transcription.delta")
    ]
    (whole,) = [event["transcript"] for event in made.socket.events if event["type"] == COMPLETED]
    assert len(deltas) >= 2
    assert whole.startswith(deltas[0])
    ahead = [prompt(request)[-1][1] for request in made.chat.requests if request.prefill_only]
    assert ahead[0] == "…"  # the conversation before the turn is computed when the turn begins
    assert len(ahead) >= 2
    assert all(whole.startswith(words.rstrip(".")) for words in ahead[1:])


async def test_no_window_is_transcribed_where_others_wait() -> None:
    async with talk("One two three.") as made:
        made.busy()
        made.say(COUNTING)
        await made.socket.until("response.done")

    assert len(made.ears.requests) == 1


async def test_a_model_that_is_not_there_fails_once_for_each_turn() -> None:
    async with talk("One.") as made:
        other = FakeTranscriber(name="other")
        made.registry.chats = (made.chat, made.ears, other)  # type: ignore[arg-type]
        given = {"transcription": {"model": "third"}}
        made.socket.send("session.update", session={"audio": {"input": given}})
        made.say(HELLO)
        failed = await made.socket.until("conversation.item.input_audio_transcription.failed")
        await made.now()

    assert failed["error"]["code"] == "model_not_found"
    assert made.count("error") == 0
    assert made.count("conversation.item.input_audio_transcription.failed") == 1


# ── interruptions ───────────────────────────────────────────────────────────────────────────────────────────


async def test_speech_interrupts_an_answer_at_the_word_that_was_heard(clock: list[float]) -> None:
    async with talk("Hello.", chat=FakeChat(script=two_texts)) as made:
        made.say(HELLO)
        words = (await made.socket.until("response.output_audio.words"))["words"]
        await made.socket.until("response.output_audio.delta")
        clock[0] += words[2]["end_time"] + 0.01
        made.say(HELLO)
        done = (await made.socket.until("response.done"))["response"]
        truncated = await made.socket.until("conversation.item.truncated")
        async with asyncio.timeout(10):
            await made.chat.closed.wait()
        made.socket.send("conversation.item.retrieve", item_id=truncated["item_id"])
        item = (await made.socket.until("conversation.item.retrieved"))["item"]
        made.chat.script = repeat
        await made.socket.until("response.done")

    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert truncated["audio_end_ms"] == round((words[2]["end_time"] + 0.01) * 1000)
    assert item["content"][0]["transcript"] == "One two three"
    assert prompt(made.answers()[-1]) == [("user", "Hello."), ("assistant", "One two three"), ("user", "Hello.")]


async def test_speech_cuts_an_answer_that_is_still_played(clock: list[float]) -> None:
    async with talk("One two three four five six seven.") as made:
        made.say(HELLO)
        words = (await made.socket.until("response.output_audio.words"))["words"]
        await made.socket.until("response.done")
        clock[0] += words[3]["end_time"] + 0.001
        made.say(HELLO)
        await made.socket.until("conversation.item.truncated")
        await made.socket.until("response.done")

    assert prompt(made.answers()[-1])[1] == ("assistant", "One two three four")


async def test_an_answer_that_was_played_is_not_cut(clock: list[float]) -> None:
    async with talk("One two three four five six seven.") as made:
        made.say(HELLO)
        await made.socket.until("response.done")
        clock[0] += 60
        made.say(HELLO)
        await made.socket.until("response.done")

    assert made.count("conversation.item.truncated") == 0
    assert prompt(made.answers()[-1])[1] == ("assistant", "One two three four five six seven.")


async def test_the_report_of_the_client_replaces_the_clock(clock: list[float]) -> None:
    async with talk("One two three four five six seven.") as made:
        made.say(HELLO)
        words = (await made.socket.until("response.output_audio.words"))["words"]
        await made.socket.until("response.done")
        clock[0] += words[4]["end_time"] + 0.001
        made.say(HELLO)
        cut = await made.socket.until("conversation.item.truncated")
        played = round(words[1]["end_time"] * 1000) + 1
        made.socket.send("conversation.item.truncate", item_id=cut["item_id"], content_index=0, audio_end_ms=played)
        again = await made.socket.until("conversation.item.truncated")
        made.socket.send("conversation.item.retrieve", item_id=cut["item_id"])
        item = (await made.socket.until("conversation.item.retrieved"))["item"]

    assert again["audio_end_ms"] == played
    assert item["content"][0]["transcript"] == "One two"


async def test_speech_does_not_interrupt_if_that_is_turned_off(clock: list[float]) -> None:
    async with talk("Hello.", chat=FakeChat(script=two_texts), interrupt_response=False) as made:
        made.say(HELLO)
        await made.socket.until("response.output_audio.delta")
        made.say(HELLO)
        while made.count(COMPLETED) < 2:
            await made.socket.until(COMPLETED)
        await made.now()

    assert made.count("response.created") == 1
    assert made.count("conversation.item.truncated") == 0
    assert made.count("error") == 0


# ── silence ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_model_speaks_again_after_a_silence() -> None:
    async with talk("Hello.", idle_timeout_ms=1) as made:
        made.say(HELLO)
        await made.socket.until("response.done")
        made.say(bytes(48_000))
        timeout = await made.socket.until("input_audio_buffer.timeout_triggered")
        committed = await made.socket.until("input_audio_buffer.committed")
        await made.socket.until("response.done")
        # The next silence is not over while the socket closes.
        made.turns()

    assert committed["item_id"] == timeout["item_id"]
    assert timeout["audio_start_ms"] <= timeout["audio_end_ms"]
    assert prompt(made.answers()[1]) == [("user", "Hello."), ("assistant", "Hello.")]


async def test_a_session_is_resumed_while_a_turn_was_transcribed() -> None:
    async with talk("One.") as made:
        hears = made.ears.script

        async def never(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
            await asyncio.Event().wait()
            yield TranscriptionAccepted(None)

        made.ears.script = never
        session = made.socket.events[0]["session"]["id"]
        made.say(HELLO)
        await made.socket.until(STOPPED)
        made.socket.disconnect()
        await made.socket.finished()
        made.ears.script = hears
        async with connected(made.app, f"/v1/realtime?session_id={session}") as socket:
            made.socket = socket
            made.say(HELLO)
            await socket.until("response.done")

    assert prompt(made.answers()[0]) == [("user", "One.")]


# ── transcription sessions ──────────────────────────────────────────────────────────────────────────────────


async def test_a_transcription_session_transcribes_and_answers_nothing() -> None:
    async with talk("Hello world.", query="&intent=transcription") as made:
        session = made.socket.events[0]["session"]
        made.say(HELLO)
        completed = await made.socket.until(COMPLETED)
        await made.now()
        made.socket.send("response.create")
        error = await made.socket.until("error")

    assert session["type"] == "transcription"
    assert completed["transcript"] == "Hello world."
    assert "transcription session" in error["error"]["message"]
    assert made.chat.requests == []
