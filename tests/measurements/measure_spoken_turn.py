"""Parts of the time of a spoken turn: `python -m tests.measurements.measure_spoken_turn [PICTURE]`, on a quiet machine.

Prints the tables of docs/observability.md: the embedded models answer a question, and the first sentence is synthesized
when it is complete, by two requests of one trace; for the first and the second turn of a server. All numbers are from
`/traces/data`; only the time between the two requests is the client's. With PICTURE and Chromium, the page's drawing of
the last turn is saved as a PNG.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.browser.chromium import find_chromium
from tests.live.client import ask, eventually, stream
from tests.live.harness import LiveServer, start

QUESTIONS = ("Say hello to the audience in one short sentence.", "Now say goodbye in one short sentence.")
SENTENCE = re.compile(r"[^.!?]+[.!?](?=\s|$)")


def turn(server: LiveServer, messages: list[dict[str, str]], number: int) -> str:
    """Ask a question and synthesize the first sentence of the answer. Returns the trace's ID."""
    trace_id = f"{number:032x}"
    headers = {"traceparent": f"00-{trace_id}-{number:016x}-01", "x-request-id": f"turn-{number}"}
    body = {"model": "smollm2-135m-instruct", "messages": messages, "max_tokens": 24, "temperature": 0}
    text, spoken = "", False
    with stream(server.url, body, headers=headers) as answer:
        for piece in answer.pieces():
            text += piece
            if not spoken and (found := SENTENCE.match(text)):
                spoken = True
                speak(server, found[0].strip(), {**headers, "x-request-id": f"turn-{number}-spoken"})
    if not spoken:
        speak(server, text, {**headers, "x-request-id": f"turn-{number}-spoken"})
    messages.append({"role": "assistant", "content": text})
    return trace_id


def speak(server: LiveServer, sentence: str, headers: dict[str, str]) -> None:
    body = {"model": "kokoro-82m", "input": sentence, "voice": "alloy", "response_format": "pcm"}
    with httpx.stream("POST", f"{server.base_url}/audio/speech", json=body, headers=headers, timeout=120) as answer:
        answer.read()


def show(server: LiveServer, trace_id: str) -> None:
    """Print the parts of the time from the first request to the first audio."""
    eventually(lambda: len(finished(server, trace_id)) == 2)
    wrote, spoke = finished(server, trace_id)
    begin, said = wrote["start"], spoke["start"]
    prefill, decode = span(wrote, "prefill"), span(wrote, "decode")
    answer = span(spoke, "speech kokoro-82m")
    first = said + next(event["at"] for event in answer["events"] if event["name"] == "first_piece")
    token = begin + prefill["start"] + prefill["duration"]
    load = span(spoke, "load kokoro-82m")["duration"] if has(spoke, "load kokoro-82m") else 0.0
    sentence = span(spoke, "sentence")
    parts = {
        "POST /v1/chat/completions, before prefill": prefill["start"],
        "prefill": prefill["duration"],
        "decode, to the end of the first sentence": said - token,
        "POST /v1/audio/speech, before load or speech": answer["start"] - load,
        "load kokoro-82m": load,
        "sentence": sentence["duration"],
        "the rest of speech": first - said - answer["start"] - sentence["duration"],
    }
    tokens, cached = (prefill["attributes"].get(f"gen_ai.usage.{kind}input_tokens") for kind in ("", "cache_read."))
    speed = decode["attributes"]["mlx.decode.tokens_per_second"]
    heard = sentence["attributes"]["mlx.speech.duration"]
    factor = sentence["attributes"]["mlx.speech.real_time_factor"]
    print(f"\n{trace_id}: {first - begin:.2f} s to the first audio; {tokens} tokens in, {cached} of them cached;")
    print(f"{speed:.1f} tok/s; a sentence of {heard:.2f} s, {factor:.2f} s of work for each of them")
    for part, seconds in parts.items():
        print(f"  {seconds:6.2f}  {part}")


def finished(server: LiveServer, trace_id: str) -> list[dict[str, Any]]:
    """Finished requests of the trace, in the order of their start."""
    requests = ask(server.url, method="GET", path="/traces/data").json()["requests"]
    found = (request for request in requests if request["trace_id"] == trace_id and request["finished"])
    return sorted(found, key=lambda request: float(request["start"]))


def has(request: dict[str, Any], name: str) -> bool:
    return any(found["name"] == name for found in request["spans"])


def span(request: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in request["spans"] if found["name"] == name)


def picture(url: str, path: Path) -> None:
    browser = find_chromium()
    assert browser is not None
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1180,820")
    budget = "--virtual-time-budget=4000"
    subprocess.run([browser, *options, budget, f"--screenshot={path}", url], check=True, timeout=90)


if __name__ == "__main__":
    running = start()
    try:
        talk: list[dict[str, str]] = []
        for number, question in enumerate(QUESTIONS, 1):
            talk.append({"role": "user", "content": question})
            trace = turn(running, talk, number)
            show(running, trace)
        if len(sys.argv) > 1:
            picture(f"{running.url}/traces?trace={trace}", Path(sys.argv[1]))
    finally:
        running.stop()
