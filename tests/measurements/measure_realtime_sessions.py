"""Check many conversations together: `python -m tests.measurements.measure_realtime_sessions [--turns 200] [--kill]`.

Eight sessions of `/v1/realtime` hold spoken turns together with the embedded models (`--echo`: the echo answers and
speaks, so that only hearing takes time). Each response must have every event once and in order, and no session may wait
longer than all others together. The resident memory of the server and its engines is read after every few turns.
`--kill` then ends each engine with SIGKILL in the middle of a turn: the session gets an `error` event or a failed
response, and its next turn is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
import psutil
import soundfile
import websockets

from tests.live.harness import LiveServer, start
from tests.live.said import NAMES, said

RATE = 24_000
PIECE = RATE // 5 * 2
"""Bytes of a fifth of a second."""
RECOVERY_SECONDS = 120.0
ANSWERED = ("completed", "incomplete")
UNHEARD = "without a transcript"
"""The turn's sound could not be transcribed, which an event said."""


@attrs.define
class Measured:
    """One turn."""

    session: int
    seconds: float
    """From the commit to the end of the response."""
    first_audio: float | None
    status: str


@attrs.define
class Conversation:
    """One session."""

    number: int
    socket: Any
    sounds: list[bytes]
    event_ids: set[str] = attrs.field(factory=set)

    async def begin(self) -> None:
        assert (await self._next())["type"] == "session.created"
        audio = {"input": {"turn_detection": None, "transcription": {"model": "any"}}}
        session = {"type": "realtime", "instructions": "Answer in one short sentence.", "max_output_tokens": 16}
        await self._send("session.update", session={**session, "output_modalities": ["audio"], "audio": audio})
        assert (await self._next())["type"] == "session.updated"

    async def turn(self, number: int) -> Measured:
        """Hold one turn. Asserts that its events are whole and in order."""
        sound = self.sounds[number % len(self.sounds)]
        for at in range(0, len(sound), PIECE):
            audio = base64.b64encode(sound[at : at + PIECE]).decode()
            await self._send("input_audio_buffer.append", audio=audio)
        await self._send("input_audio_buffer.commit")
        await self._send("response.create")
        begun, first, seen = time.monotonic(), None, []
        while not seen or seen[-1]["type"] != "response.done":
            event = await self._next()
            if event["type"] == "response.output_audio.delta" and first is None:
                first = time.monotonic() - begun
            seen.append(event)
        status = seen[-1]["response"]["status"]
        if any(event["type"].endswith("input_audio_transcription.failed") for event in seen):
            status = UNHEARD
        elif status in ANSWERED:
            whole(seen)
        await self._forget(seen)
        return Measured(self.number, time.monotonic() - begun, first, status)

    async def _forget(self, seen: list[dict[str, Any]]) -> None:
        """Delete the items of a turn: the prompt keeps its length, so turns are comparable."""
        ids = {event["item"]["id"] for event in seen if event["type"] == "conversation.item.done"}
        for id in ids:
            await self._send("conversation.item.delete", item_id=id)
        for _ in ids:
            assert (await self._next())["type"] == "conversation.item.deleted"

    async def _send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def _next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await self.socket.recv())
        assert event["event_id"] not in self.event_ids, "an event came twice"
        self.event_ids.add(event["event_id"])
        return event


def whole(seen: list[dict[str, Any]]) -> None:
    """Assert that the events of a turn are complete."""
    kinds = [event["type"] for event in seen]
    once = (
        *("input_audio_buffer.committed", "conversation.item.input_audio_transcription.completed", "response.created"),
        *("response.output_item.added", "response.content_part.added", "response.output_audio_transcript.done"),
        *("response.output_audio.done", "response.content_part.done", "response.output_item.done", "response.done"),
    )
    for kind in once:
        assert kinds.count(kind) == 1, (kind, kinds)
    text = "".join(event["delta"] for event in seen if event["type"] == "response.output_audio_transcript.delta")
    (done,) = (event for event in seen if event["type"] == "response.output_audio_transcript.done")
    assert text == done["transcript"], "a piece of the text is lost"
    samples = 0
    for event in seen:
        if event["type"] == "response.output_audio.words":
            assert event["start_sample"] == samples, "a piece of the sound is lost"
        if event["type"] == "response.output_audio.delta":
            samples += len(base64.b64decode(event["delta"])) // 2


def memory(server: LiveServer) -> float:
    """Resident megabytes of the server and all that it started."""
    family = [psutil.Process(server.process.pid), *server.descendants()]
    return sum(process.memory_info().rss for process in family) / 1e6


async def conversations(server: LiveServer, turns: int, sessions: int, sounds: list[bytes]) -> list[Measured]:
    """Hold `turns` turns in all sessions together. Prints memory on the way."""
    url = f"ws{server.url.removeprefix('http')}/v1/realtime?model=any"
    measured: list[Measured] = []

    async def hold(number: int) -> None:
        async with websockets.connect(url, max_size=None, ping_timeout=None) as socket:
            conversation = Conversation(number, socket, sounds)
            await conversation.begin()
            for turn in range(number, number + turns // sessions):
                measured.append(await conversation.turn(turn))
                if len(measured) % (2 * sessions) == 0:
                    print(f"{len(measured)} turns, {memory(server):.0f} MB", flush=True)

    await asyncio.gather(*(hold(number) for number in range(sessions)))
    return measured


async def killed(server: LiveServer, sounds: list[bytes]) -> None:
    """End each engine in the middle of a turn of one session, and hold another turn when it is back."""
    url = f"ws{server.url.removeprefix('http')}/v1/realtime?model=any"
    async with (
        websockets.connect(url, max_size=None, ping_timeout=None) as socket,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        conversation = Conversation(0, socket, sounds)
        await conversation.begin()
        models = (await client.get("/internal/diagnostics")).json()["models"]
        engines = {model["id"]: model["engine"]["pid"] for model in models if (model.get("engine") or {}).get("pid")}
        for name, pid in engines.items():
            turn = asyncio.create_task(conversation.turn(0))
            await asyncio.sleep(0.2)
            psutil.Process(pid).kill()
            outcome = (await turn).status
            begun = time.monotonic()
            while (status := (await conversation.turn(1)).status) not in ANSWERED:
                assert time.monotonic() - begun < RECOVERY_SECONDS, f"{name} did not come back"
                await asyncio.sleep(1.0)
            print(f"{name} killed: that turn {outcome}, the next {status} after {time.monotonic() - begun:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--kill", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text("models:\n  - {model_type: echo}\n  - {model_type: whisper}\n")
        sounds = [_pcm(said(Path(folder), name)) for name in NAMES]
        server = start(*(("--config", str(config)) if asked.echo else ()))
        try:
            held = asyncio.run(conversations(server, asked.turns, asked.sessions, sounds))
            _report(held, asked.sessions)
            if asked.kill:
                asyncio.run(killed(server, sounds))
        finally:
            server.stop()


def _pcm(path: Path) -> bytes:
    """The recording at the protocol's rate; each sample is the nearest one of the file."""
    samples, rate = soundfile.read(path, dtype="int16")
    return bytes(samples[[place * rate // RATE for place in range(len(samples) * RATE // rate)]].tobytes())


def _report(held: list[Measured], sessions: int) -> None:
    print(
        f"{len(held)} turns: {sum(turn.status not in ANSWERED for turn in held)} failed, every event once and in order"
    )
    print("| session | turns | mean s | longest s | mean s to first audio |\n| --- | --- | --- | --- | --- |")
    for number in range(sessions):
        own = [turn for turn in held if turn.session == number]
        first = [turn.first_audio for turn in own if turn.first_audio is not None]
        mean = sum(turn.seconds for turn in own) / len(own)
        heard = f"{sum(first) / len(first):.2f}" if first else "-"
        print(f"| {number + 1} | {len(own)} | {mean:.2f} | {max(turn.seconds for turn in own):.2f} | {heard} |")


if __name__ == "__main__":
    main()
