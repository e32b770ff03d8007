"""The times of a running server, from a few streamed requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import attrs
import httpx

from server.cli.bench.client import Sample, Workload, stream_chat
from server.cli.bench.load import http_client
from server.cli.bench.prompts import make_prompts
from server.cli.bench.simulate.costs import BadCosts, Costs
from server.cli.bench.simulate.replica import STEPS, UNNOTICED

__all__ = ["Target", "measure", "step_of"]

PROMPT_WORDS = (16, 128, 512)
ANSWER_TOKENS = 64
"""Of each answer whose steps are measured."""
GATHER_MS = 20.0
"""Assumed: an engine on a GPU waits for 5 ms."""


@attrs.frozen(kw_only=True)
class Target:
    """A server to measure; `url` ends in `/v1`."""

    url: str
    model: str = "default"
    api_key: str | None = attrs.field(default=None, repr=False)


async def measure(target: Target, rows: Sequence[int], on_part: Callable[[str], None] = lambda part: None) -> Costs:
    """Measure prompts of three lengths without other requests, and steps with each number of answers.

    Raises:
        BadCosts: a request failed, or its answer is too short to measure.
    """
    async with http_client(target.url, api_key=target.api_key, connections=max(2, *rows)) as client:

        async def together(count: int, words: int, tokens: int) -> list[Sample]:
            prompts = make_prompts(time.time_ns(), count, words)  # which no cache has
            load = Workload(model=target.model, prompts=prompts, max_tokens=tokens)
            epoch = time.perf_counter()
            return list(
                await asyncio.gather(
                    *(stream_chat(client, target.url, load.body(number), epoch) for number in range(count))
                )
            )

        await together(1, PROMPT_WORDS[0], 2)  # the first request of an engine is slower
        prefill: dict[float, float] = {}
        for words in PROMPT_WORDS:
            on_part(f"prompts of {words} words")
            for _ in range(2):
                (sample,) = await together(1, words, 2)
                _check(sample)
                computed = sample.prompt_tokens - sample.cached_tokens
                milliseconds = sample.first_token_seconds * 1000
                prefill[computed] = min(milliseconds, prefill.get(computed, milliseconds))
        decode = {}
        for count in rows:
            on_part(f"steps of {count}")
            decode[count] = step_of(await together(count, PROMPT_WORDS[0], ANSWER_TOKENS)) * 1000
        costs = Costs(
            decode=tuple(decode.items()),
            prefill=tuple(prefill.items()),
            request_ms=1,
            gather_ms=GATHER_MS,
            slots=max(rows),
        )
        on_part("a prompt beside an answer")
        return attrs.evolve(costs, beside=await _beside(client, target, costs))


async def _beside(client: httpx.AsyncClient, target: Target, costs: Costs) -> float:
    """Speed of a prompt in chunks beside a running answer, divided by its speed without."""
    story, prompt = (
        Workload(model=target.model, prompts=make_prompts(time.time_ns(), 1, words), max_tokens=tokens).body(0)
        for words, tokens in ((PROMPT_WORDS[0], 1024), (PROMPT_WORDS[1], 2))
    )
    running = asyncio.Event()
    epoch = time.perf_counter()
    answer = asyncio.create_task(
        stream_chat(client, target.url, story, epoch, lambda count: running.set() if count > 1 else None)
    )
    await asyncio.wait((answer, began := asyncio.create_task(running.wait())), return_when=asyncio.FIRST_COMPLETED)
    began.cancel()
    sample = await stream_chat(client, target.url, prompt, epoch)
    answer.cancel()
    await asyncio.gather(answer, return_exceptions=True)
    _check(sample)
    step = costs.step(1)
    chunk = max(STEPS * step, UNNOTICED)
    alone = costs.prompt(sample.prompt_tokens - sample.cached_tokens)
    return min(1.0, max(0.05, alone * (step + chunk) / (chunk * sample.first_token_seconds)))


def _check(sample: Sample) -> None:
    if sample.error is not None:
        raise BadCosts(sample.error)
    if not sample.prompt_tokens:
        raise BadCosts("the server reports no prompt tokens (`usage`)")


def step_of(samples: Sequence[Sample]) -> float:
    """Seconds of a step while all of these answers run: from the last first token to the first last one."""
    for sample in samples:
        _check(sample)
        if len(sample.chunks) < 2:
            raise BadCosts("an answer has no two pieces of text")
    begun, ended = max(each.chunks[0] for each in samples), min(each.chunks[-1] for each in samples)
    pieces = sum(begun < at <= ended for each in samples for at in each.chunks)
    if not pieces:
        raise BadCosts(f"{len(samples)} answers did not run together: they are too short")
    return (ended - begun) * len(samples) / pieces
