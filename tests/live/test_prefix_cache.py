"""The prefix cache of the installed command: it saves work and changes no answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from server.cli.bench.debate import run_debate, same_answers
from tests.live.client import ask, chat
from tests.live.divided_models import rank_options
from tests.live.harness import LiveServer


def test_each_of_two_debaters_reuses_its_own_conversation(
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


LONG = "Ada met Ben at the harbour, where the ships come in from the sea, and asked him what he had brought along. " * 6
SHORT = "Rain falls on the hills all night. Write one line about it, and nothing else, please. " * 4


def _say(running: LiveServer, text: str) -> tuple[str, int]:
    """The answer, and the number of its prompt's tokens that came from the cache."""
    answer = ask(running.url, chat(text, temperature=0, max_tokens=8)).json()
    return answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_cached_prompts_survive_a_restart_and_damage_to_their_files(
    launch: Callable[..., LiveServer], tmp_path: Path
) -> None:
    first = launch("--prefix-cache-dir", str(tmp_path))
    before = [_say(first, text) for text in (LONG, SHORT)]
    assert [cached < 40 for _, cached in before] == [True, True]
    assert first.stop() == 0

    small, *others = sorted(tmp_path.glob("*/*.safetensors"), key=lambda path: path.stat().st_size)
    assert 1 + len(others) == 2 * (2 if rank_options() else 1)  # each rank writes its part
    with small.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"damaged")
    second = launch("--prefix-cache-dir", str(tmp_path))
    after = [_say(second, text) for text in (LONG, SHORT)]

    assert [text for text, _ in after] == [text for text, _ in before]
    assert after[0][1] > 64 > before[0][1]
    assert after[1][1] < 40
    second.log.wait_for(f"cannot be read and is deleted.*{small.name}")
    assert not small.exists()
