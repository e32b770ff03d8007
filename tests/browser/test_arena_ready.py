"""The arena loads the models that a debate needs as soon as it is opened: in a real browser, against the echo model."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.browser.arena import ArenaPage, arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import eventually
from tests.live.harness import start

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)

PREPARE = """
(async () => {
  const { Readiness } = await import("/arena/ready.js");
  const models = [{ id: "echo", capabilities: ["CAPABILITY"], status: "STATUS" }], shown = [];
  const readiness = new Readiness(() => shown.push([readiness.text, readiness.refuses]));
  const settings = JSON.parse(localStorage["arena-settings"]);
  await readiness.prepare(models, settings, []);
  await readiness.prepare(models, settings, []);
  return shown;
})()
"""


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    running = start("--model-type", "echo", "--model-path", "prefill=0.3")
    yield running.url
    assert running.stop() == 0


@pytest.fixture
def arena(url: str) -> Generator[ArenaPage]:
    with arena_page(url) as page:
        yield page


def sent(arena: ArenaPage) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = arena.evaluate("requests.map((request) => request.body)")
    return bodies


def test_opening_the_page_loads_the_voice_and_computes_what_the_prompts_begin_with(arena: ArenaPage) -> None:
    arena.load(settings())
    eventually(lambda: len(sent(arena)) == 3)
    (spoken,) = [body for body in sent(arena) if "input" in body]
    assert (spoken["voice"], spoken["model"]) == ("af_heart", "echo")
    ahead = [body["messages"] for body in sent(arena) if body.get("prefill_only")]

    arena.click("play")
    arena.wait_for("over")
    for side, turn in enumerate(arena.turns_requested()):
        assert turn["messages"][0] in [messages[0] for messages in ahead], side


@pytest.mark.parametrize(("capability", "name"), [("speech", "The voice"), ("chat", "echo")])
def test_what_loads_is_shown_until_it_has_loaded(arena: ArenaPage, capability: str, name: str) -> None:
    arena.load(settings())
    prepare = PREPARE.replace("CAPABILITY", capability)
    shown = arena.evaluate(prepare.replace("STATUS", "unloaded"))
    assert (shown[0], shown[-1]) == ([f"{name} is loading.", False], ["", False]), "a turn would wait for it"
    shown = arena.evaluate(prepare.replace("STATUS", "ready"))
    assert [one for one in shown if one != ["", False]] == []
    shown = arena.evaluate(prepare.replace("STATUS", "loading"))
    assert (shown[0], shown[-1]) == ([f"{name} is loading.", name == "echo"], ["", False])
    assert any(text.startswith(f"{name} is loading, ") for text, _ in shown), "the server is read again after a second"


def test_the_page_states_what_the_server_lacks(arena: ArenaPage) -> None:
    locked = start("--model-type", "echo", "--api-key", "hush")
    try:
        with arena_page(locked.url) as page:
            page.open(settings())
            eventually(lambda: page.evaluate("Boolean(window.arena)") and "key" in page.text("status").lower())
            assert sent(page) == []
    finally:
        assert locked.stop() == 0
