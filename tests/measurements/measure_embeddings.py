"""Speed of embeddings over HTTP: `python -m tests.measurements.measure_embeddings`, on a quiet machine.

Measures the embedded model and prints the table of docs/embeddings.md: one open connection per client, the best of
three rounds each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from tests.live.harness import start

WORDS = "red green blue fast slow old new big small warm cold dry wet loud calm".split()  # noqa: SIM905
TEXTS = [f"{WORDS[i % 15]} {WORDS[i // 15 % 15]} {i}" for i in range(512)]
ROUNDS = 3


async def seconds(work: Callable[[], Awaitable[None]]) -> float:
    """Shortest time of a few rounds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


async def measure(url: str) -> None:
    async with httpx.AsyncClient(timeout=120) as client:

        async def embed(given: str | list[str], form: str = "base64") -> int:
            body = {"model": "any", "input": given, "encoding_format": form}
            answer = await client.post(f"{url}/v1/embeddings", json=body)
            answer.raise_for_status()
            return int(answer.json()["usage"]["prompt_tokens"])

        async def one_by_one(texts: list[str]) -> None:
            for text in texts:
                await embed(text)

        async def together(form: str) -> None:
            await embed(TEXTS, form)

        async def concurrently(clients: int, texts: list[str]) -> None:
            await asyncio.gather(*(one_by_one(texts[place::clients]) for place in range(clients)))

        tokens = await embed(TEXTS)
        print(f"{len(TEXTS)} texts, {tokens} tokens")
        alone = await seconds(lambda: one_by_one(TEXTS[:128])) / 128
        print(f"one by one: {alone * 1000:.2f} ms a text")
        for form in ("base64", "float"):
            whole = await seconds(lambda form=form: together(form)) / len(TEXTS)  # type: ignore[misc]
            print(f"512 in one call, {form}: {whole * 1000:.2f} ms a text, {alone / whole:.1f} times as fast")
        for clients in (8, 32):
            each = await seconds(lambda clients=clients: concurrently(clients, TEXTS[:256])) / 256  # type: ignore[misc]
            print(f"{clients} clients, one text a call: {each * 1000:.2f} ms a text, {alone / each:.1f} times as fast")


if __name__ == "__main__":
    server = start("--model-type", "embeddings")
    try:
        asyncio.run(measure(server.url))
    finally:
        server.stop()
