"""Two chat models and a speech model in one server: `python -m tests.measurements.measure_side_by_side MODEL`.

MODEL is the path of a second chat model, such as a .gguf file of Qwen2.5-Coder-0.5B-Instruct, which loads on first use
beside the embedded chat model and the embedded voice. A hundred requests wait for its one load; then all three answer
under load; then it is unloaded in the middle of a stream. Prints what was found; exit status 1 if any of it is wrong.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import yaml

from tests.live.client import ask, chat, eventually, stream
from tests.live.harness import LiveServer, start

FIRST, SECOND, VOICE = "smollm2", "second", "kokoro"
PATIENCE = 600.0
"""Seconds for an answer on a slow machine."""
QUESTION = "What is the capital of France? Answer in one word."
ROUNDS = 8
"""Requests to each model under load."""


def measure(server: LiveServer) -> dict[str, bool]:
    """Print the figures. Returns what has to hold, and whether it does."""
    return cold(server) | routed(server) | unloaded_in_mid_stream(server)


def cold(server: LiveServer) -> dict[str, bool]:
    begun = time.monotonic()
    answers = together([lambda: say(server, SECOND, max_tokens=1)] * 100)
    loads = starts(server)
    print(f"{len(answers)} first requests: {loads} load, all answered after {time.monotonic() - begun:.1f} s")
    return {"a hundred first requests are answered": right(answers, SECOND), "they load the model once": loads == 1}


def routed(server: LiveServer) -> dict[str, bool]:
    def speak() -> httpx.Response:
        body = {"model": VOICE, "input": "Paris is the capital of France.", "response_format": "wav"}
        answer: httpx.Response = ask(server.url, body, path="/v1/audio/speech", timeout=PATIENCE)
        return answer

    calls = [lambda: say(server, FIRST), lambda: say(server, SECOND), speak] * ROUNDS
    begun = time.monotonic()
    answers = together(calls)
    chats = {name: answers[place::3] for place, name in enumerate((FIRST, SECOND))}
    print(f"{len(calls)} requests to three models: answered after {time.monotonic() - begun:.1f} s")
    for name, given in chats.items():
        print(f"  {name}: {given[0].json()['choices'][0]['message']['content']!r}")
    sounds = answers[2::3]
    return {
        "each chat model answers its own": all(right(given, name) for name, given in chats.items()),
        "both name the capital": all("Paris" in each.text for given in chats.values() for each in given),
        "the voice speaks": all(each.status_code == 200 and each.content[:4] == b"RIFF" for each in sounds),
    }


def unloaded_in_mid_stream(server: LiveServer) -> dict[str, bool]:
    long = chat("Count from 1 to 50, in words.", model=SECOND, temperature=0, max_tokens=40)
    with ThreadPoolExecutor(1) as pool, stream(server.url, long, timeout=PATIENCE) as answer:
        chunks = iter(answer)
        next(chunks)
        unloading = pool.submit(ask, server.url, path=f"/v1/models/{SECOND}/unload", timeout=PATIENCE)
        eventually(lambda: residents(server)[SECOND]["uses"] == 1)
        waits = not unloading.done()
        rest = list(chunks)
        status = unloading.result().json()["status"]
    print(f"unload in mid-stream: {len(rest)} more chunks, {rest[-1]['choices'][0]['finish_reason']}, then {status}")
    return {
        "unloading waits for the stream": waits and rest[-1]["choices"][0]["finish_reason"] in ("length", "stop"),
        "the model is unloaded afterwards": status == "unloaded",
        "the others stay": all(residents(server)[name]["memory"] for name in (FIRST, VOICE)),
    }


def say(server: LiveServer, model: str, max_tokens: int = 16) -> httpx.Response:
    body = chat(QUESTION, model=model, temperature=0, max_tokens=max_tokens)
    answer: httpx.Response = ask(server.url, body, timeout=PATIENCE)
    return answer


def right(answers: list[httpx.Response], model: str) -> bool:
    return all(each.status_code == 200 and each.json()["model"] == model for each in answers)


def together(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


def starts(server: LiveServer) -> int:
    return sum("engine starts" in line and f"model={SECOND} " in line for line in server.log.text.splitlines())


def residents(server: LiveServer) -> dict[str, dict[str, int]]:
    stats = ask(server.url, method="GET", path="/v1/queue/stats").json()
    models: dict[str, dict[str, int]] = stats["residency"]["models"]
    return models


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    entries = [
        {"name": FIRST, "path": "embedded:smollm2-135m-instruct"},
        {"name": SECOND, "path": sys.argv[1], "preload": False},
        {"name": VOICE, "path": "embedded:kokoro-82m", "type": "tts", "preload": False},
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "models.yaml")
        file.write_text(yaml.safe_dump({"models": entries}), encoding="utf-8")
        server = start("--config", str(file))
        try:
            held = measure(server)
        finally:
            ended = server.stop()
    held["the server ends in order"] = ended == 0
    for what, holds in held.items():
        print(f"{'yes' if holds else 'NO':>4}  {what}")
    sys.exit(0 if all(held.values()) else 1)


if __name__ == "__main__":
    main()
