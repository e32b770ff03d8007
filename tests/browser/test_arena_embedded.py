"""The page at `/arena` with the embedded models, in a file of its own: another worker has time for the other pages."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

from tests.browser.arena import ArenaPage, arena_page, in_step, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import ask, eventually
from tests.live.harness import start

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 900)


def test_the_embedded_models_debate_two_rounds_and_give_a_verdict() -> None:
    """Turns of at most ten seconds: four of them and the verdict take about a minute and a half on two idle cores."""
    running = start()
    try:
        with arena_page(running.url) as arena:
            wanted = settings("Cities need more trees.", rounds=2, seconds=10, temperature=0)
            sides = [{**side, "model": "smollm2-135m-instruct"} for side in wanted["personas"]]
            arena.load({**wanted, "personas": sides})
            assert arena.text("status").startswith("The voice is loading")
            eventually(lambda: arena.text("status") == "", within=120)
            statuses = ask(running.url, method="GET", path="/v1/models").json()["data"]
            assert {one["status"] for one in statuses if "speech" in one["capabilities"]} == {"ready"}
            arena.click("play")
            arena.wait_for("over", within=800)

            turns = arena.entries
            assert [turn["side"] for turn in turns] == [0, 1, 0, 1]
            assert [turn["interrupted"] for turn in turns] == [False] * 4
            frames = frames_by_turn(arena)
            assert len(frames) == 4
            for turn, own in zip(turns, frames, strict=True):
                assert turn["heard"].strip()
                assert turn["duration"] < 12, "the first clause is spoken in any case"
                assert own[-1]["position"] > turn["duration"] - 0.5, "it plays to the end"
                assert in_step(own, turn["visemes"]) >= 0.95
                assert len({frame["now"] for frame in own} - {None}) >= 4, "words light up one after the other"
                assert max(frame["loud"] for frame in own) > 0.02
            scores = "[...document.querySelectorAll('#scores td')].map((cell) => cell.textContent)"
            assert len(arena.evaluate(scores)) == 1 + 2 * 4
            assert len(arena.evaluate("[...document.querySelectorAll('#entries .bar')].map(String)")) == 4
            assert arena.problems() == []
    finally:
        assert running.stop() == 0


def frames_by_turn(arena: ArenaPage) -> list[list[dict[str, Any]]]:
    """The frames of each turn: speakers alternate."""
    return [[*own] for _, own in groupby(arena.evaluate("frames_seen"), key=lambda frame: frame["side"])]
