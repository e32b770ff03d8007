"""Turns of the user in a session: found in recorded speech and answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import numpy as np
import pytest

from providers.transcription.types import TranscriptionAccepted, TranscriptionEvent, TranscriptionRequest
from server.api.realtime.audio import transcribing
from tests.unit.providers.engines.recordings import RATE, silence
from tests.unit.server.api.realtime.audio.speech import recording
from tests.unit.server.api.realtime.sockets import connected
from tests.unit.server.api.realtime.talks import COMPLETED, COUNTING, HELLO, STARTED, STOPPED, prompt, talk
from tests.unit.server.api.transcription.transcribers import FakeTranscriber

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
