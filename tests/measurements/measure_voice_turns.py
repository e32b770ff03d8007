"""Legs of a spoken turn over `/v1/realtime`: `python -m tests.measurements.measure_voice_turns`, on a quiet machine.

Prints the table of docs/performance.md. Recorded speech is sent in real time to the embedded models. Turns end in two
ways: the server finds the end (`server_vad`), or the client commits after the same silence. Then nothing is transcribed
or computed before the turn ends. Every session has instructions of its own, so that its first prompt is in no cache.
Last, an answer is interrupted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import numpy as np
import websockets

from tests.live.harness import LiveServer, start
from tests.unit.providers.engines.recordings import silence
from tests.unit.server.api.realtime.audio.speech import pcm, recording

ROUNDS = int(os.environ.get("ROUNDS", "3"))
WORDS = int(os.environ.get("WORDS", "250"))
"""Of the instructions."""
SILENCE_MS = 500
SPEECH = pcm(np.concatenate([silence(0.3), recording("quick_brown_fox")]))
LEGS = ("speech_stopped", "transcript", "first token", "first audio")
MARKS = {
    "input_audio_buffer.speech_stopped": "speech_stopped",
    "input_audio_buffer.committed": "speech_stopped",
    "conversation.item.input_audio_transcription.delta": "first words",
    "conversation.item.input_audio_transcription.completed": "transcript",
    "response.output_audio_transcript.delta": "first token",
    "response.output_audio.delta": "first audio",
    "response.done": "done",
}


@attrs.define
class Talk:
    """One session; `marks` has when each first event of the turn came."""

    socket: Any
    marks: dict[str, float] = attrs.field(factory=dict)
    came: asyncio.Event = attrs.field(factory=asyncio.Event)
    voiced_ms: float = 0.0

    async def read(self) -> None:
        async for message in self.socket:
            event = json.loads(message)
            if event["type"] == "error":
                raise SystemExit(event["error"]["message"])
            if (mark := MARKS.get(event["type"])) is not None:
                self.marks.setdefault(mark, time.monotonic())
            if event["type"] == "input_audio_buffer.speech_stopped":
                self.voiced_ms = event["audio_end_ms"] - SILENCE_MS
            if event["type"] == "input_audio_buffer.speech_started":
                self.marks["speech_started"] = time.monotonic()
            self.came.set()

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def reached(self, mark: str) -> float:
        async with asyncio.timeout(120):
            while mark not in self.marks:
                self.came.clear()
                await self.came.wait()
        return self.marks[mark]

    async def say(self, sound: bytes, milliseconds: float) -> float:
        """Send sound in real time, 20 ms at a time, and silence after it. Returns when the first of it was sent."""
        begun = time.monotonic()
        sound = sound + bytes(int(milliseconds * 48))
        for at in range(0, len(sound), 960):
            audio = base64.b64encode(sound[at : at + 960]).decode()
            await self.send("input_audio_buffer.append", audio=audio)
            await asyncio.sleep(max(0.0, begun + (at + 960) / 48_000 - time.monotonic()))
        return begun


@asynccontextmanager
async def talk(server: LiveServer, number: int, *, found: bool) -> AsyncIterator[Talk]:
    url = server.url.replace("http", "ws") + "/v1/realtime?model=smollm2-135m-instruct"
    words = " ".join(f"Rule {number}.{place}: be brief and kind." for place in range(WORDS // 6))
    async with websockets.connect(url, max_size=None) as socket:
        made = Talk(socket)
        reader = asyncio.create_task(made.read())
        detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS} if found else None
        given = {"transcription": {}, "turn_detection": detection}
        session = {"instructions": words, "temperature": 0, "max_output_tokens": 12, "audio": {"input": given}}
        await made.send("session.update", session=session)
        try:
            yield made
        finally:
            reader.cancel()


async def turn(talk: Talk, spoken_ms: float, *, found: bool) -> dict[str, float]:
    """Milliseconds from the end of the speech to the end of each leg."""
    talk.marks.clear()
    if found:
        begun = await talk.say(SPEECH, SILENCE_MS + 400)
        await talk.reached("speech_stopped")
        ended = begun + (talk.voiced_ms - sound_before(talk)) / 1000
    else:
        begun = await talk.say(SPEECH[: int(spoken_ms * 48) // 2 * 2], SILENCE_MS)
        ended = begun + spoken_ms / 1000
        await talk.send("input_audio_buffer.commit")
        await talk.send("response.create")
    await talk.reached("done")
    return {leg: (talk.marks[leg] - ended) * 1000 for leg in LEGS}


def sound_before(talk: Talk) -> float:
    """Milliseconds of sound that were sent before this turn."""
    each = len(SPEECH) / 48 + SILENCE_MS + 400
    return (talk.voiced_ms // each) * each


async def interrupted(server: LiveServer, talk: Talk) -> tuple[float, float]:
    """Milliseconds from the detection of speech until the response has ended, and until chat and voice are free."""
    talk.marks.clear()
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Why is the sky blue?"}]}
    await talk.send("conversation.item.create", item=item)
    await talk.send("response.create", response={"max_output_tokens": 200})
    await talk.reached("first audio")
    talk.marks.pop("done", None)
    speaking = asyncio.create_task(talk.say(SPEECH[:48_000], 0))
    detected = await talk.reached("speech_started")
    done = await talk.reached("done")
    async with httpx.AsyncClient() as client:
        while await working(client, server):
            pass
    free = time.monotonic()
    await speaking
    return (done - detected) * 1000, (free - detected) * 1000


async def working(client: httpx.AsyncClient, server: LiveServer) -> bool:
    """Whether an answer or its voice is in an engine."""
    models = (await client.get(f"{server.url}/v1/queue/stats")).json()["models"]
    return any(models[name]["active"] for name in ("smollm2-135m-instruct", "kokoro-82m"))


async def main(server: LiveServer) -> None:
    async with talk(server, 0, found=True) as warm:
        print("warm", await turn(warm, 0, found=True), flush=True)
        spoken_ms = warm.voiced_ms
    print(
        f"\n{spoken_ms / 1000:.2f} s of speech, instructions of {WORDS} words, {ROUNDS} rounds; ms after the speech\n"
    )
    taken: dict[tuple[bool, int], list[dict[str, float]]] = {}
    for number in range(1, ROUNDS + 1):
        for found in (True, False):
            async with talk(server, number * 2 + found, found=found) as session:
                for place in (1, 2):
                    legs = await turn(session, spoken_ms, found=found)
                    print(number, found, place, {leg: round(value) for leg, value in legs.items()}, flush=True)
                    taken.setdefault((found, place), []).append(legs)
    print("| turn | ends by |", " | ".join(LEGS), "|\n| --- | --- |", " --- |" * len(LEGS))
    for (found, place), legs in sorted(taken.items(), key=lambda each: (each[0][1], not each[0][0])):
        middle = " | ".join(f"{statistics.median(each[leg] for each in legs):,.0f}" for leg in LEGS)
        print(f"| {place} | {'server_vad' if found else 'client'} | {middle} |")
    async with talk(server, 99, found=True) as session:
        done, free = await interrupted(server, session)
    print(
        f"\ninterrupted: response.done {done:.0f} ms after speech_started; chat and voice are free after {free:.0f} ms"
    )


if __name__ == "__main__":
    running = start()
    try:
        asyncio.run(main(running))
    finally:
        running.stop()
