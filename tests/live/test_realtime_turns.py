"""Spoken turns with the embedded models: recorded speech is found, transcribed, answered aloud, and interrupts."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import numpy as np
import openai
from openai.resources.realtime.realtime import RealtimeConnection

from tests.live.client import PATIENCE, eventually, queue_stats
from tests.live.harness import LiveServer
from tests.unit.providers.engines.recordings import silence
from tests.unit.server.api.realtime.audio.speech import pcm, recording

MODEL = "smollm2-135m-instruct"
FOX = pcm(np.concatenate([silence(0.4), recording("quick_brown_fox"), silence(0.8)]))
HELLO = pcm(np.concatenate([silence(0.4), recording("hello_world"), silence(0.8)]))
COMPLETED = "conversation.item.input_audio_transcription.completed"


class Talk:
    """A session whose events a thread collects, so that sound can be sent meanwhile."""

    def __init__(self, connection: RealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self._changed = threading.Condition()
        self._seen = 0
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        try:
            for event in self.connection:
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self.events.append(error)
                self._changed.notify_all()

    def until(self, type: str) -> Any:
        """The next event of this type. Events before it are passed over."""

        def found() -> bool:
            while self._seen < len(self.events):
                self._seen += 1
                event = self.events[self._seen - 1]
                assert not isinstance(event, Exception), event
                assert event.type != "error", event
                if event.type == type:
                    return True
            return False

        with self._changed:
            assert self._changed.wait_for(found, PATIENCE), [event.type for event in self.events]
        return self.events[self._seen - 1]

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    def say(self, sound: bytes) -> None:
        """Send sound faster than it was spoken, as pieces of 100 ms."""
        for begin in range(0, len(sound), 4800):
            audio = base64.b64encode(sound[begin : begin + 4800]).decode()
            self.connection.input_audio_buffer.append(audio=audio)

    def update(self, **session: Any) -> None:
        self.connection.session.update(session={"type": "realtime", **session})
        self.until("session.updated")


@contextmanager
def talk(server: LiveServer, **query: Any) -> Iterator[Talk]:
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    with client.realtime.connect(model=MODEL, extra_query=query) as connection:
        made = Talk(connection)
        made.until("session.created")
        yield made


def heard_by(words: list[dict[str, Any]], milliseconds: float) -> int:
    return sum(word["end_time"] * 1000 <= milliseconds + 1 for word in words)


def assert_ends_at(transcript: str, words: list[dict[str, Any]], milliseconds: float) -> None:
    """Fail unless the text ends at the last word heard, or at one beside it."""
    count = heard_by(words, milliseconds)
    ends = {
        "" if number < 1 else words[number - 1]["text"]
        for number in (count - 1, count, count + 1)
        if number <= len(words)
    }
    assert any(transcript.rstrip().endswith(end) for end in ends if end) or (not transcript and "" in ends), transcript


def test_recorded_speech_is_answered_aloud(server: LiveServer) -> None:
    with talk(server) as session:
        session.update(max_output_tokens=8, audio={"input": {"transcription": {"language": "en"}}})
        session.say(FOX)
        # Each of them may wait for a model that is being loaded.
        for step in (
            COMPLETED,
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.done",
        ):
            session.until(step)
        order = [event.type for event in session.events]
        (completed,) = session.of(COMPLETED)
        audio = session.of("response.output_audio.delta")

    assert "brown fox jumps over the lazy dog" in completed.transcript
    (started,), (stopped,) = (
        session.of("input_audio_buffer.speech_started"),
        session.of("input_audio_buffer.speech_stopped"),
    )
    assert 0 <= started.audio_start_ms <= 460
    assert 2700 <= stopped.audio_end_ms <= 4000
    assert started.item_id == stopped.item_id == completed.item_id
    assert order.index("input_audio_buffer.speech_stopped") < order.index(COMPLETED) < order.index("response.created")
    assert sum(len(base64.b64decode(event.delta)) for event in audio) > 4800


def test_an_interrupted_answer_ends_at_the_word_that_was_heard(server: LiveServer) -> None:
    detection = {"type": "server_vad", "create_response": False}
    with talk(server) as session:
        session.update(
            max_output_tokens=80, temperature=0, audio={"input": {"turn_detection": detection, "transcription": {}}}
        )
        content: Any = [{"type": "input_text", "text": "Explain in three sentences why the sky is blue."}]
        session.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        session.connection.response.create()
        session.until("response.output_audio_transcript.delta")
        session.until("response.output_audio.delta")
        session.say(HELLO)
        cut = session.until("conversation.item.truncated")
        first = session.of("response.done")[0].response
        eventually(lambda: queue_stats(server.url, MODEL)["active"] == 0)
        session.connection.conversation.item.retrieve(item_id=cut.item_id)
        by_clock = session.until("conversation.item.retrieved").item.content[0].transcript
        words = [word for event in session.of("response.output_audio.words") for word in event.to_dict()["words"]]
        assert_ends_at(by_clock, words, cut.audio_end_ms)

        # The client knows better: it played 40 % of what it got.
        played = round(
            400 * sum(len(base64.b64decode(e.delta)) for e in session.of("response.output_audio.delta")) / 48_000
        )
        session.connection.conversation.item.truncate(item_id=cut.item_id, content_index=0, audio_end_ms=played)
        session.until("conversation.item.truncated")
        session.connection.conversation.item.retrieve(item_id=cut.item_id)
        by_client = session.until("conversation.item.retrieved").item.content[0].transcript
        assert_ends_at(by_client, words, played)

        while not session.of(COMPLETED):
            session.until(COMPLETED)
        session.connection.response.create(response={"output_modalities": ["text"], "max_output_tokens": 8})
        second = session.until("response.done").response

    assert (first.status, first.status_details.reason) == ("cancelled", "turn_detected")
    assert by_client in first.output[0].content[0].transcript
    assert "ello" in session.of(COMPLETED)[0].transcript
    # The prompt has the beginning of the answer in common with what was computed, and no more than was heard.
    assert second.usage.input_token_details.cached_tokens >= first.usage.input_tokens
    assert second.usage.input_tokens < first.usage.total_tokens + 40


def test_a_transcription_session_only_transcribes(server: LiveServer) -> None:
    with talk(server, intent="transcription") as session:
        session.say(HELLO + FOX)
        texts = [session.until(COMPLETED).transcript for _ in range(2)]
        kinds = {event.type for event in session.events}

    assert "ello" in texts[0]
    assert "brown fox" in texts[1]
    assert "conversation.item.input_audio_transcription.delta" in kinds
    assert not any(kind.startswith("response.") for kind in kinds)


def test_speech_in_and_speech_out_need_no_socket(server: LiveServer) -> None:
    speech = (files("pytest_audioeval") / "samples" / "audio" / "en" / "quick_brown_fox.wav").read_bytes()
    part: Any = {"type": "input_audio", "input_audio": {"data": base64.b64encode(speech).decode(), "format": "wav"}}
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=PATIENCE)
    spoken: Callable[..., Any] = client.chat.completions.create
    stream = spoken(
        model=MODEL,
        messages=[{"role": "user", "content": [part]}],
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "pcm16"},
        stream=True,
        max_tokens=8,
        extra_body={"audio_input": "transcribe"},
    )
    deltas = [chunk.choices[0].delta.to_dict() for chunk in stream if chunk.choices]
    audio = [delta["audio"] for delta in deltas if "audio" in delta]

    assert sum(len(base64.b64decode(part.get("data", ""))) for part in audio) > 4800
    assert "".join(part.get("transcript", "") for part in audio)
