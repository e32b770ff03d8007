"""The network goes away in mid-debate: what the page at `/arena` keeps, what it states, and how the debate goes on.

The echo answers with the last user message, so each speaker repeats the one before.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.browser.arena import ArenaPage, arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.browser.network import Network, network
from tests.live.client import eventually
from tests.live.harness import start

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)

OPENING = "Ada, you have the floor. Make your case."


@pytest.fixture(scope="module", params=["delay=0.3"])
def between(request: pytest.FixtureRequest) -> Generator[Network]:
    running = start("--model-type", "echo", "--model-path", request.param)
    try:
        with network(running.url) as made:
            yield made
    finally:
        assert running.stop() == 0


@pytest.fixture
def arena(between: Network) -> Generator[ArenaPage]:
    between.mend()
    with arena_page(between.url) as page:
        page.load(settings())
        yield page


@pytest.mark.parametrize("way", ["cut", "swallow"])
def test_a_turn_that_lost_its_connection_keeps_what_was_heard_and_the_debate_goes_on(
    arena: ArenaPage, between: Network, way: str
) -> None:
    arena.click("play")
    arena.wait_for_speech(0.3)
    getattr(between, way)()
    arena.wait_for("failed")

    assert arena.text("reason") == "The connection broke off."
    (lost,) = arena.entries
    assert lost["broken"]
    assert 0 < len(lost["heard"]) < len(OPENING)
    assert OPENING.startswith(lost["heard"])
    assert arena.text("entries").count(f"{lost['heard']} … connection lost") == 1
    between.cut()
    arena.click("skip")
    arena.wait_for("failed")
    assert len(arena.entries) == 1, "what was heard stays while the network is away"
    between.mend()
    arena.click("retry")
    arena.wait_for("over")
    assert [entry["side"] for entry in arena.entries] == [0, 1]
    assert arena.turns_requested()[-1]["messages"][1:] == [{"role": "user", "content": lost["heard"]}]


def test_what_has_arrived_of_a_lost_turn_can_be_cut_while_it_is_played(arena: ArenaPage, between: Network) -> None:
    arena.click("play")
    arena.wait_for_speech(0.3)
    arena.click("play")
    arena.wait_for("paused")
    between.cut()
    eventually(lambda: arena.state["written"])
    arena.click("play")
    arena.wait_for("running")
    assert arena.text("status") == "The connection broke off. What has arrived of Ada's turn is still played."
    arena.click("next")
    arena.wait_for("failed")

    (cut,) = arena.entries
    assert cut["interrupted"]
    assert not cut["broken"]
    assert arena.evaluate("document.getElementById('skip').hidden"), "the turn that failed is the next one"
    between.mend()
    arena.click("retry")
    arena.wait_for("over")
    assert [entry["side"] for entry in arena.entries] == [0, 1]


@pytest.mark.parametrize("between", ["delay=0.01"], indirect=True)
@pytest.mark.parametrize("way", ["cut", "offline"])
def test_a_turn_that_had_arrived_is_played_to_its_end_and_the_next_one_can_be_tried_again(
    arena: ArenaPage, between: Network, way: str
) -> None:
    arena.click("play")
    eventually(lambda: (arena.evaluate("arena.debate()?.entries.length") or arena.state["written"]) is True)
    if way == "cut":
        between.cut()
    else:
        offline(arena, True)
    arena.wait_for("failed")

    (heard,) = arena.entries
    assert (heard["heard"], heard["interrupted"]) == (OPENING, False)
    assert arena.text("reason") == "The server does not answer: it is restarting, or the network is down."
    assert arena.evaluate("document.getElementById('skip').hidden"), "there is nothing to go on without"
    assert arena.text("play") == "Retry this turn"
    between.mend()
    offline(arena, False)
    arena.click("play")
    arena.wait_for("over")
    assert [(entry["side"], entry["interrupted"]) for entry in arena.entries] == [(0, False), (1, False)]


def offline(arena: ArenaPage, away: bool) -> None:
    """Switch the browser's own network off or on."""
    speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    arena.page.command("Network.enable")
    arena.page.command("Network.emulateNetworkConditions", offline=away, **speed)
