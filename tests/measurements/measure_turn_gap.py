"""The silence between two turns of a debate, on a quiet machine.

`python -m tests.measurements.measure_turn_gap [ROUNDS [PICTURE]]`: Ada speaks with the embedded models and a brief of
about 1,200 tokens; Ben answers as soon as her last sound has been played. The gap is the time from that moment to the
first bytes of Ben's sound. Each round measures it once without and once with `prefill_only`, which computes Ben's
prompt whenever one of Ada's stretches is complete. Prints a line per turn, the medians, and what the traces of the
first round show; PICTURE is an SVG of those.
"""

from __future__ import annotations

import base64
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import httpx

from server.api.spoken.stretches import StretchCutter
from tests.live.client import PATIENCE
from tests.live.harness import LiveServer, start
from tests.measurements.turn_gap_trace import picture, read_gap, table

RATE = 24_000
FACTS = "In the year {year} the council counted {count} cars on the ring road and {half} people on the trams. "
BRIEF = "This is the brief of the debate. " + "".join(
    FACTS.format(year=1980 + number, count=5000 + 37 * number, half=2400 + 91 * number) for number in range(40)
)


@attrs.define
class Spoken:
    """A turn as the client received it. Times are `time.monotonic`'s."""

    text: str = ""
    sent: float = 0.0
    first_sound: float = 0.0
    last_played: float = 0.0
    """When the last sound has been played: pieces play one after the other, and none before it has arrived."""
    cached: int = 0
    prompt: int = 0
    id: str = ""


def headers(number: int, name: str) -> dict[str, str]:
    """Those of a request of the debate with this number, which is one trace."""
    return {"traceparent": f"00-{trace_of(number)}-{number + 1:016x}-01", "x-request-id": f"gap-{number}-{name}"}


def trace_of(number: int) -> str:
    return f"{number + 1:032x}"


def conversation(name: str, number: int, *others: str) -> list[dict[str, str]]:
    system = f"You are {name}, in debate {number}. {BRIEF}"
    return [{"role": "system", "content": system}, *({"role": "user", "content": text} for text in others)]


def speak(server: LiveServer, messages: list[dict[str, str]], sent: dict[str, str], stretches: Any = None) -> Spoken:
    """One spoken turn, with these headers. `stretches` gets the text so far whenever a stretch of it is complete."""
    body = {
        "model": "any",
        "messages": messages,
        "modalities": ["text", "audio"],
        "audio": {"voice": "af_heart", "format": "pcm16", "include_visemes": False},
        "max_tokens": 40,
        "temperature": 0,
        "stream": True,
    }
    spoken, cutter = Spoken(sent=time.monotonic()), StretchCutter()
    url = f"{server.base_url}/chat/completions"
    with httpx.stream("POST", url, json=body, headers=sent, timeout=PATIENCE) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            spoken.id = chunk["id"]
            usage = chunk.get("usage")
            if usage:
                spoken.prompt = usage["prompt_tokens"]
                spoken.cached = usage["prompt_tokens_details"]["cached_tokens"]
            audio = chunk["choices"][0]["delta"].get("audio", {}) if chunk["choices"] else {}
            for _ in cutter.feed(audio.get("transcript", "")):
                if stretches is not None:
                    stretches(spoken.text + audio["transcript"])
            spoken.text += audio.get("transcript", "")
            if audio.get("data"):
                now = time.monotonic()
                spoken.first_sound = spoken.first_sound or now
                length = len(base64.b64decode(audio["data"])) / 2 / RATE
                spoken.last_played = max(spoken.last_played, now) + length
    return spoken


def report(server: LiveServer, spoken: Spoken, sent: dict[str, str]) -> None:
    """Report the playback of a turn, so that its trace has it."""
    times = {"started": spoken.first_sound, "ended": spoken.last_played}
    events = [{"type": kind, "at_ms": 1000 * (at - spoken.sent)} for kind, at in times.items()]
    body = {"played_ms": 1000 * (spoken.last_played - spoken.first_sound), "events": events}
    url = f"{server.base_url}/chat/completions/{spoken.id}/heard"
    httpx.post(url, json=body, headers={"traceparent": sent["traceparent"]}, timeout=PATIENCE).raise_for_status()


class Ahead:
    """Computes Ben's prompt for what Ada has said so far; a newer text replaces one that waits."""

    def __init__(self, server: LiveServer, number: int) -> None:
        self._server = server
        self._number = number
        self._count = 0
        self._latest: str | None = None
        self._over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __call__(self, text: str) -> None:
        with self._changed:
            self._latest = text
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._latest is not None)
                text, self._latest = self._latest, None
            if text is None:
                return
            body = {"model": "any", "messages": conversation("Ben", self._number, text), "prefill_only": True}
            self._count += 1
            sent = headers(self._number, f"ahead-{self._count}")
            url = f"{self._server.base_url}/chat/completions"
            httpx.post(url, json=body, headers=sent, timeout=10 * PATIENCE).raise_for_status()


def gap(server: LiveServer, number: int, *, ahead: bool) -> float:
    """Seconds from Ada's last sound to Ben's first."""
    prefill = Ahead(server, number) if ahead else None
    try:
        sent = headers(number, "first")
        ada = speak(server, conversation("Ada", number, "You have the floor."), sent, prefill)
    finally:
        if prefill is not None:
            prefill.close()
    time.sleep(max(0.0, ada.last_played - time.monotonic()))
    report(server, ada, sent)
    sent = headers(number, "second")
    ben = speak(server, conversation("Ben", number, ada.text), sent)
    report(server, ben, sent)
    seconds = ben.first_sound - ada.last_played
    print(
        f"{'with' if ahead else 'without':>8} prefill_only: {seconds:5.2f} s; Ben's prompt of {ben.prompt} tokens, "
        f"{ben.cached} cached",
        flush=True,
    )
    return seconds


def main(rounds: int, drawing: Path | None) -> None:
    server = start("--max-concurrency", "2")
    try:
        speak(server, [{"role": "user", "content": "Say hello."}], {})  # loads the voice
        gaps: dict[bool, list[float]] = {False: [], True: []}
        for number in range(rounds):
            for ahead in (False, True):
                gaps[ahead].append(gap(server, 2 * number + ahead, ahead=ahead))
        without, with_ = (statistics.median(gaps[ahead]) for ahead in (False, True))
        print(f"median gap: {without:.2f} s without, {with_:.2f} s with prefill_only; ratio {with_ / without:.2f}")
        traced = [
            read_gap(server, trace_of(ahead), name=f"{'with' if ahead else 'without'} `prefill_only`")
            for ahead in (False, True)
        ]
        print(table(traced))
        if drawing is not None:
            drawing.write_text(picture(traced))
    finally:
        server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
