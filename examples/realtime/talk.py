"""A spoken conversation over one WebSocket: each WAV file is a turn, and the answers become one WAV file.

Usage: python talk.py [--url http://127.0.0.1:8000/v1] [--model any] [--output answers.wav] TURN.wav [TURN.wav …]

Needs the package `openai` with its extra `realtime`. Prints one JSON object: each turn with its transcript, the answer,
and the times of the answer's words and visemes, in seconds from the answer's first sample.
"""

from __future__ import annotations

import argparse
import base64
import json
import wave
from dataclasses import asdict, dataclass, field
from typing import Any

from openai import OpenAI

RATE = 24_000
"""Samples per second of the protocol's sound: mono, 16 bits."""


@dataclass
class Turn:
    """What was said and answered."""

    said: str = ""
    answer: str = ""
    words: list[dict[str, Any]] = field(default_factory=list)
    visemes: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def samples_of(path: str) -> bytes:
    """The sound of a WAV file, in the rate of the protocol: each sample is the nearest one of the file."""
    with wave.open(path, "rb") as file:
        assert (file.getsampwidth(), file.getnchannels()) == (2, 1), "16-bit mono is needed"
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    places = range(len(pcm) // 2 * RATE // rate)
    return b"".join(pcm[2 * at : 2 * at + 2] for at in (place * rate // RATE for place in places))


def hold(connection: Any, sound: bytes) -> tuple[Turn, bytes]:
    """Send a turn, and read the answer to its end."""
    for start in range(0, len(sound), RATE):
        connection.input_audio_buffer.append(audio=base64.b64encode(sound[start : start + RATE]).decode())
    connection.input_audio_buffer.commit()
    connection.response.create()
    turn, answer = Turn(), b""
    for event in connection:
        if event.type == "conversation.item.input_audio_transcription.completed":
            turn.said = event.transcript
        elif event.type == "response.output_audio_transcript.delta":
            turn.answer += event.delta
        elif event.type == "response.output_audio.words":  # extensions: words and visemes come before their sound
            turn.words += event.words
        elif event.type == "response.output_audio.visemes":
            turn.visemes += event.visemes
        elif event.type == "response.output_audio.delta":
            answer += base64.b64decode(event.delta)
        elif event.type == "error":
            raise SystemExit(event.error.message)
        elif event.type == "response.done":
            break
    turn.seconds = len(answer) / 2 / RATE
    return turn, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("turns", nargs="+", metavar="TURN.wav")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="any")
    parser.add_argument("--max-tokens", type=int, default=60)
    parser.add_argument("--output", default="answers.wav")
    asked = parser.parse_args()

    client = OpenAI(base_url=asked.url, api_key="unused")
    session: Any = {
        "type": "realtime",
        "instructions": "Answer in one short spoken sentence.",
        "output_modalities": ["audio"],
        "max_output_tokens": asked.max_tokens,
        "audio": {
            # The client says where a turn ends. With {"type": "server_vad"} the server hears it.
            "input": {"turn_detection": None, "transcription": {"model": "any"}},
            "output": {"voice": "af_heart"},
        },
    }
    held = []
    with client.realtime.connect(model=asked.model) as connection, wave.open(asked.output, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        connection.session.update(session=session)
        for path in asked.turns:
            turn, answer = hold(connection, samples_of(path))
            file.writeframes(answer)
            held.append(turn)
    print(json.dumps({"turns": [asdict(turn) for turn in held]}))


if __name__ == "__main__":
    main()
