"""Check that memory stays flat: `python -m tests.measurements.measure_memory [REQUESTS [MODEL]]`.

Sends short requests of every kind to the embedded chat model (or MODEL, a path or id; `tiny` is one of random weights
that answers immediately), eight at a time, reads the engine's memory after every few requests, and writes
`docs/memory.svg` and `docs/memory.json`. 1,000 requests take a quarter of an hour on two idle cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.live.harness import LiveServer, start

CLIENTS = 8
EVERY = 10
"""Requests between two readings."""
WARM = 100
"""Requests before memory is expected to be flat: by then the prefix cache fills and all batch sizes have occurred."""
PREFIX_CACHE = "64MB"
"""Small, so that it is soon full and later growth has another cause."""
NAMES = ("rss", "active", "cache")
DOCS = Path(__file__).resolve().parents[2] / "docs"
WORDS = "river mountain debate avatar voice garden winter signal music ocean history engine planet bridge".split()  # noqa: SIM905


async def request(client: httpx.AsyncClient, number: int) -> None:
    """Send one of many kinds: streamed or not, cancelled, a conversation, several answers, a schema, sampled, raw."""
    rng = random.Random(number)
    text = " ".join(rng.choices(WORDS, k=rng.choice((2, 6, 20, 60))))
    messages: list[dict[str, str]] = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": "any", "messages": messages, "max_tokens": rng.choice((1, 4, 12))}
    kind = number % 8
    if kind == 0:
        await client.post("/v1/completions", json={"model": "any", "prompt": text, "max_tokens": 6})
        return
    if kind == 1:
        body |= {"n": 2, "seed": number, "temperature": 0.9}
    elif kind == 2:
        body |= {"response_format": {"type": "json_object"}}
    elif kind == 3:
        body |= {"logprobs": True, "top_logprobs": 3, "frequency_penalty": 0.5}
    elif kind == 4:
        body["messages"] = [{"role": "system", "content": "Be brief."}, *messages]
    if kind in (5, 6, 7):
        async with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
            async for _ in response.aiter_lines():
                if kind == 7:
                    break  # the client disconnects
        return
    (await client.post("/v1/chat/completions", json=body)).raise_for_status()


async def measure(server: LiveServer, requests: int) -> list[dict[str, float]]:
    readings: list[dict[str, float]] = []
    numbers = iter(range(requests))
    async with httpx.AsyncClient(base_url=server.url, timeout=600, trust_env=False) as client:

        async def read(done: int) -> None:
            (model,) = (m for m in (await client.get("/internal/diagnostics")).json()["models"] if m["type"] == "lm")
            memory = model["engine"]["memory"]
            kept = model["engine"]["prefix_cache"]
            readings.append({"requests": done, "kept": kept, **{name: memory[name] for name in NAMES}})

        async def work() -> None:
            for number in numbers:
                await request(client, number)
                if number % EVERY == 0:
                    await read(number)

        await asyncio.gather(*(work() for _ in range(CLIENTS)))
        await read(requests)
    return sorted(readings, key=lambda reading: reading["requests"])


def growth(readings: list[dict[str, float]], name: str) -> float:
    """Bytes per request, by least squares, after the warm-up."""
    warm = [(reading["requests"], reading[name]) for reading in readings if reading["requests"] >= WARM]
    middle_x, middle_y = (sum(column) / len(warm) for column in zip(*warm, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in warm)
    return float(sum((x - middle_x) * (y - middle_y) for x, y in warm) / spread)


def plot(readings: list[dict[str, float]]) -> str:
    """Plot of megabytes over requests, as SVG."""
    width, height, left, bottom = 760, 320, 60, 40
    most = max(reading["rss"] for reading in readings) * 1.1
    last = readings[-1]["requests"]
    names = {"rss": "#1f77b4", "active": "#2ca02c", "kept": "#ff7f0e", "cache": "#7f7f7f"}
    labels = {"rss": "resident", "active": "MLX active", "kept": "prefix cache", "cache": "MLX cache"}

    def at(reading: dict[str, float], name: str) -> str:
        x = left + (width - left - 110) * reading["requests"] / last
        return f"{x:.1f},{height - bottom - (height - bottom - 20) * reading[name] / most:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for step in range(0, int(most / 1e6) + 1, max(10, 10 * round(most / 5e7))):
        y = height - bottom - (height - bottom - 20) * step * 1e6 / most
        parts.append(f'<path d="M{left} {y:.1f}H{width - 110}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{step} MB</text>')
    for name, colour in names.items():
        line = " ".join(at(reading, name) for reading in readings)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        end, level = map(float, at(readings[-1], name).split(","))
        parts.append(f'<text x="{end + 6:.1f}" y="{level + 4:.1f}" fill="{colour}">{labels[name]}</text>')
    parts.append(
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">requests (0 to {last:.0f})</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _model(name: str, folder: Path) -> list[str]:
    if name == "tiny":
        from tests.unit.providers.engines import tiny  # only here: it imports mlx

        name = str(tiny.write_folder(folder / "tiny", max_position_embeddings=2048))
    return ["--model-path", name]


def _run(requests: int, options: list[str]) -> list[dict[str, float]]:
    server = start("--prefix-cache-size", "4MB" if options else PREFIX_CACHE, *options)
    try:
        return asyncio.run(measure(server, requests))
    finally:
        with contextlib.suppress(BaseException):
            server.stop()


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        readings = _run(requests, _model(sys.argv[2], Path(folder)) if len(sys.argv) > 2 else [])
    result = {
        "requests": requests,
        "bytes_a_request_once_warm": {name: round(growth(readings, name)) for name in NAMES},
        "readings": readings,
    }
    (DOCS / "memory.json").write_text(json.dumps(result) + "\n")
    (DOCS / "memory.svg").write_text(plot(readings))
    print(json.dumps(result["bytes_a_request_once_warm"]), readings[0], readings[-1])


if __name__ == "__main__":
    main()
