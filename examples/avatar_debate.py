"""Two avatars debate: a minimal client. Text, sound, words and visemes of each turn come from one request.

Usage: python avatar_debate.py [--url http://127.0.0.1:8000/v1] [--rounds 1] [--max-tokens 60] [--output FOLDER] TOPIC

Needs the package `openai`. Writes `debate.wav` and `debate.json`, whose times count from the start of that file.
"""

from __future__ import annotations

import argparse
import base64
import json
import wave
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from openai import OpenAI

RATE = 24_000
"""Samples per second of the server's sound: mono, 16 bits."""


@dataclass
class Avatar:
    """A side of the debate."""

    name: str
    side: str
    voice: str


@dataclass
class Turn:
    """What an avatar said. Times are seconds from the start of the turn."""

    name: str
    text: str = ""
    words: list[dict[str, Any]] = field(default_factory=list)
    visemes: list[dict[str, Any]] = field(default_factory=list)
    starts: float = 0.0
    """Seconds from the start of the debate."""
    audio_id: str = ""


def conversation(avatar: Avatar, topic: str, turns: list[Turn]) -> list[dict[str, Any]]:
    """The debate as this avatar sees it. Its own turns are named by their sound, so that the prompt holds what was
    heard; the text beside the id is what counts if the server has been restarted."""
    system = f"You are {avatar.name}. You argue {avatar.side} this claim: {topic}. Answer in two short sentences."
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    if not turns or turns[0].name == avatar.name:
        messages.append({"role": "user", "content": "You have the floor."})
    for turn in turns:
        if turn.name == avatar.name:
            messages.append({"role": "assistant", "content": turn.text, "audio": {"id": turn.audio_id}})
        else:
            messages.append({"role": "user", "content": turn.text})
    return messages


def speak(client: OpenAI, avatar: Avatar, topic: str, turns: list[Turn], sound: bytearray, max_tokens: int) -> Turn:
    """One turn. The caption is printed while it arrives; an avatar would play the sound and move its lips."""
    turn = Turn(avatar.name, starts=len(sound) / 2 / RATE)
    print(f"{avatar.name}: ", end="", flush=True)
    stream = client.chat.completions.create(
        model="any",
        messages=conversation(avatar, topic, turns),  # type: ignore[arg-type]
        modalities=["text", "audio"],
        audio={"voice": avatar.voice, "format": "pcm16"},
        max_tokens=max_tokens,
        stream=True,
    )
    for chunk in stream:
        audio = chunk.choices[0].delta.audio if chunk.choices else None
        if audio is None:
            continue
        turn.audio_id = audio.id or turn.audio_id
        if audio.transcript:
            turn.text += audio.transcript
            print(audio.transcript, end="", flush=True)
        if audio.data:
            sound += base64.b64decode(audio.data)
            extra = audio.model_extra or {}
            turn.words += extra.get("words", [])
            turn.visemes += extra.get("visemes", [])
    print()
    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topic", nargs="?", default="Cities are better without cars")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--max-tokens", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    # The SDK repeats a request that was refused with 429 or 503, after the time that the server names.
    client = OpenAI(base_url=options.url, api_key="unused", max_retries=5, timeout=300)
    avatars = (Avatar("Ada", "for", "af_heart"), Avatar("Ben", "against", "am_michael"))
    turns: list[Turn] = []
    sound = bytearray()
    for number in range(2 * options.rounds):
        turns.append(speak(client, avatars[number % 2], options.topic, turns, sound, options.max_tokens))
    options.output.mkdir(parents=True, exist_ok=True)
    with wave.open(str(options.output / "debate.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(sound))
    record = {"topic": options.topic, "turns": [asdict(turn) for turn in turns]}
    (options.output / "debate.json").write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
