"""What the arena's listener hears reaches the trace of each turn: in a real browser, against the echo model."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.browser.arena import ArenaPage, arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import ask, eventually
from tests.live.harness import LiveServer, start

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)


@pytest.fixture(scope="module")
def server() -> Generator[LiveServer]:
    running = start("--model-type", "echo", "--model-path", "delay=0.01&prefill=0.05")
    yield running
    assert running.stop() == 0, running.log.text


@pytest.fixture
def arena(server: LiveServer) -> Generator[ArenaPage]:
    with arena_page(server.url) as page:
        yield page


def requests(server: LiveServer) -> list[dict[str, Any]]:
    data = ask(server.url, method="GET", path="/traces/data").json()
    found: list[dict[str, Any]] = data["requests"]
    return found


def playback(server: LiveServer, request_id: str) -> dict[str, Any] | None:
    """The span of the playback in the trace of a turn, once its report has arrived."""
    spans = [span for request in requests(server) if request["request_id"] == request_id for span in request["spans"]]
    return next((span for span in spans if span["name"] == "client playback"), None)


def test_each_turn_s_playback_is_in_its_trace_and_drawn(arena: ArenaPage, server: LiveServer) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for("over")

    turns = arena.entries
    for turn in turns:
        eventually(lambda turn=turn: playback(server, turn["requestId"]))
        span = playback(server, turn["requestId"])
        assert span is not None
        assert [event["name"] for event in span["events"]] == ["playback.started", "playback.ended"]
        assert span["duration"] == pytest.approx(turn["duration"], abs=0.5)
        attributes = span["attributes"]
        assert attributes["mlx.playback.played"] == pytest.approx(turn["duration"], abs=0.001)
        assert attributes["mlx.playback.stalls"] == 0
        measures = turn["measures"]
        assert measures["audio"] < measures["sound"]
        first = (measures["sound"] - measures["sent"]) / 1000
        assert attributes["mlx.playback.time_to_first_sound"] == pytest.approx(first, abs=0.001)
    debate = arena.evaluate("arena.debate().id")
    sent = [request for request in requests(server) if request["trace_id"] == debate]
    routes = [request["name"].rpartition("/")[2] for request in sent]
    assert routes.count("heard") == 2, "reports are in the trace of the debate"
    assert routes.count("completions") >= 5, "so are two turns, a prompt computed ahead, and the verdict"

    arena.page.command("Page.navigate", url=f"{server.url}/traces?request={turns[0]['requestId']}")
    bar = "[...document.querySelectorAll('.span')].find((row) => row.textContent.startsWith('client playback'))"
    eventually(lambda: arena.evaluate(f"{bar}?.querySelectorAll('.mark').length ?? 0") == 2)


def test_a_cut_turn_is_reported_with_what_was_played(arena: ArenaPage, server: LiveServer) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for_speech(1.0)
    arena.click("next")
    eventually(lambda: len(arena.turns_requested()) == 2)
    reported_as_stopped(server, arena.entries[0])


def test_a_reload_reports_the_turn_that_it_cuts(arena: ArenaPage, server: LiveServer) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for_speech(1.0)
    arena.reload()
    reported_as_stopped(server, arena.entries[0])


def reported_as_stopped(server: LiveServer, cut: dict[str, Any]) -> None:
    eventually(lambda: playback(server, cut["requestId"]))
    span = playback(server, cut["requestId"])
    assert span is not None
    assert [event["name"] for event in span["events"]] == ["playback.started", "playback.stopped"]
    assert span["attributes"]["mlx.playback.played"] == pytest.approx(cut["playedMs"] / 1000)


NOTE = """
(async () => {
  const { Playback } = await import("/arena/playback.js");
  const playback = new Playback(performance.now()), at = () => performance.now();
  STEPS
  return [playback.report().map(({ type }) => type), playback.report()];
})()
"""


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("buffering playing buffering playing ended", "started stalled resumed ended"),
        ("playing buffering ended", "started ended"),  # nothing followed: it was the end
        ("playing pause resume stopped", "started paused resumed stopped"),
        ("pause playing resume ended", "started ended"),
        ("playing buffering pause resume playing ended", "started stalled resumed ended"),
        ("playing buffering pause playing resume ended", "started stalled resumed ended"),
        ("buffering stopped", "stopped"),
    ],
)
def test_a_report_has_what_is_heard(arena: ArenaPage, steps: str, expected: str) -> None:
    arena.load(settings())
    calls = [
        f"playback.{step}();" if step in ("pause", "resume") else f"playback.change('{step}', at());"
        for step in steps.split()
    ]
    assert arena.evaluate(NOTE.replace("STEPS", "".join(calls))) == [expected.split(), None]
