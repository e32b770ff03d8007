"""Prompts that are kept for the turns to come, on the real command: they save work and change no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from server.bench.debate import run_debate, same_answers
from tests.live.harness import LiveServer


def test_each_of_two_debaters_finds_its_own_conversation_again(
    server: LiveServer, launch: Callable[..., LiveServer]
) -> None:
    forgetful = launch("--prefix-cache-size", "0")
    debate = {"turns": 3, "max_tokens": 6, "brief_sentences": 2, "seed": 11}
    kept = asyncio.run(run_debate(server.base_url, **debate))  # type: ignore[arg-type]
    computed = asyncio.run(run_debate(forgetful.base_url, script=kept, **debate))  # type: ignore[arg-type]

    assert kept.first_error is computed.first_error is None
    assert same_answers(kept, computed) == 1.0
    assert [turn.prompt_tokens for turn in kept.turns] == [turn.prompt_tokens for turn in computed.turns]
    assert {turn.cached_tokens for turn in computed.turns} == {0}
    for debater in (0, 1):
        first, second, third = (turn for turn in kept.turns if turn.debater == debater)
        assert second.cached_tokens >= first.prompt_tokens - 1
        assert third.cached_tokens >= second.prompt_tokens - 1
