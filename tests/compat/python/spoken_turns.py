"""A spoken conversation of three turns by OpenAI's Python SDK, with the client's commits and with the server's turns.

`make compat` runs it in an environment of its own, as `spoken_turns.py URL MODEL TURN.wav TURN.wav TURN.wav`, and it
prints a JSON line per case; so it imports nothing of the project. Every event is validated by the SDK's types, which
the SDK itself does not do, and its place among those of its response is checked.
"""

from __future__ import annotations

import base64
import json
import sys
import wave
from collections.abc import Callable, Iterator
from typing import Any

from openai import OpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

RATE = 24_000
EXTENSIONS = {"response.output_audio.words", "response.output_audio.visemes"}
EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
PLACES = {
    "response.created": 0,
    "response.output_item.added": 1,
    "conversation.item.added": 2,
    "response.content_part.added": 3,
    "response.output_audio_transcript.delta": 4,
    "response.output_audio.delta": 4,
    "response.output_audio.words": 4,
    "response.output_audio.visemes": 4,
    "response.output_audio.done": 5,
    "response.output_audio_transcript.done": 5,
    "response.content_part.done": 6,
    "conversation.item.done": 7,
    "response.output_item.done": 7,
    "response.done": 8,
}
"""Order of the events of a response."""


def samples_of(path: str) -> bytes:
    with wave.open(path, "rb") as file:
        assert (file.getsampwidth(), file.getnchannels()) == (2, 1)
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    return b"".join(pcm[2 * (place * rate // RATE) :][:2] for place in range(len(pcm) // 2 * RATE // rate))


def checked(connection: Any) -> Iterator[dict[str, Any]]:
    """The events as they came, each valid by the SDK's types."""
    ids = set()
    while True:
        event = json.loads(connection.recv_bytes())
        if event["type"] not in EXTENSIONS:
            EVENTS.validate_python(event)
        assert event["event_id"] not in ids, "ids are unique"
        ids.add(event["event_id"])
        assert event["type"] != "error", event
        yield event


def answered(events: Iterator[dict[str, Any]]) -> None:
    """Read the events of one turn, from the person's words to the end of the answer."""
    seen: list[dict[str, Any]] = []
    for event in events:
        seen.append(event)
        if event["type"] == "response.done":
            break
    kinds = [event["type"] for event in seen]
    item = next(event["item_id"] for event in seen if event["type"] == "input_audio_buffer.committed")
    words = [event for event in seen if event["type"] == "conversation.item.input_audio_transcription.completed"]
    assert [event["item_id"] for event in words] == [item]
    assert words[0]["transcript"].strip(), "the recording has words"
    answer = seen[kinds.index("response.created") :]
    id = answer[0]["response"]["id"]
    own = [event for event in answer if event["type"] in PLACES and event.get("item", {}).get("role") != "user"]
    places = [PLACES[event["type"]] for event in own]
    assert places == sorted(places), kinds
    assert {event["response_id"] for event in own if "response_id" in event} == {id}
    assert set(PLACES) - EXTENSIONS <= {event["type"] for event in own}, kinds
    text = "".join(event["delta"] for event in own if event["type"] == "response.output_audio_transcript.delta")
    (whole,) = [event for event in own if event["type"] == "response.output_audio_transcript.done"]
    assert whole["transcript"] == text
    sound = b"".join(base64.b64decode(e["delta"]) for e in own if e["type"] == "response.output_audio.delta")
    last = max(word["end_time"] for e in own if e["type"] == "response.output_audio.words" for word in e["words"])
    assert 0 < last <= len(sound) / 2 / RATE + 0.01, "the words are within the sound"
    response = own[-1]["response"]
    assert response["status"] in ("completed", "incomplete"), response
    (message,) = response["output"]
    assert message["content"][0]["transcript"] == text


def conversation(url: str, model: str, turns: list[str], detection: Any) -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key="unused")
    session: Any = {
        "type": "realtime",
        "instructions": "Answer in one short spoken sentence.",
        "output_modalities": ["audio"],
        "max_output_tokens": 30,
        "audio": {"input": {"turn_detection": detection, "transcription": {"model": "whisper-1"}}},
    }
    with client.realtime.connect(model=model) as connection:
        events = checked(connection)
        assert next(events)["type"] == "session.created"
        connection.session.update(session=session)
        assert next(events)["type"] == "session.updated"
        for path in turns:
            sound = samples_of(path) + (bytes(2 * RATE) if detection else b"")
            for start in range(0, len(sound), RATE // 5):
                piece = base64.b64encode(sound[start : start + RATE // 5]).decode()
                connection.input_audio_buffer.append(audio=piece)
            if detection is None:
                connection.input_audio_buffer.commit()
                connection.response.create()
            answered(events)


def main() -> None:
    url, model, *turns = sys.argv[1:]
    detections: dict[str, Any] = {
        "three spoken turns, the client commits": None,
        "three spoken turns, the server finds their ends": {"type": "server_vad", "silence_duration_ms": 400},
    }
    cases: dict[str, Callable[[], None]] = {
        name: lambda detection=detection: conversation(url, model, turns, detection)  # type: ignore[misc]
        for name, detection in detections.items()
    }
    for name, case in cases.items():
        detail = ""
        try:
            case()
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"[:400]
        print(json.dumps({"case": name, "passed": not detail, "detail": detail}))


if __name__ == "__main__":
    main()
