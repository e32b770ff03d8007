"""The page at `/arena` without a mouse: every control has a visible focus, and works by key."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.browser.arena import ArenaPage, arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import eventually
from tests.live.harness import LiveServer

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)

CONTROLS = """
var kinds = ["a[href]", "button:enabled", "input", "select", "textarea", "summary", "[tabindex='0']"];
window.controls = [...document.querySelectorAll(kinds)].filter((one) => one.checkVisibility());
controls.length
"""
FOCUSED = """
(() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return [controls.indexOf(document.activeElement), outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
})()
"""


@pytest.fixture
def arena(server: LiveServer) -> Generator[ArenaPage]:
    with arena_page(server.url) as page:
        page.load(settings("Tea?"))
        yield page


def reach_all(arena: ArenaPage) -> None:
    """Assert that the tab key leads to every control, in the document's order, with a visible focus."""
    count = arena.evaluate(CONTROLS)
    arena.evaluate("controls[0].focus()")
    seen = []
    for _ in range(count):
        seen.append(arena.evaluate(FOCUSED))
        arena.press("Tab")
    missed = [arena.evaluate(f"controls[{place}].outerHTML") for place in {*range(count)} - {one[0] for one in seen}]
    assert missed == []
    assert [place for place, _ in seen] == [*range(count)]
    # The first one got its focus from a script, which browsers need not show.
    assert [arena.evaluate(f"controls[{place}].outerHTML") for place, visible in seen[1:] if not visible] == []


def test_the_tab_key_leads_to_every_control_before_and_after_a_debate(arena: ArenaPage) -> None:
    assert arena.evaluate(CONTROLS) > 20
    reach_all(arena)
    arena.click("play")
    arena.wait_for("over")
    arena.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    reach_all(arena)


def test_a_question_a_cut_and_the_set_up_work_by_key(arena: ArenaPage) -> None:
    arena.tab_to("shuffle")
    arena.press("Enter")
    assert arena.text("motion") not in ("", "Tea?")
    arena.tab_to("play")
    arena.press(" ")
    arena.wait_for_speech(0.3)
    arena.tab_to("question")
    arena.page.command("Input.insertText", text="And cocoa?")
    arena.press("Enter")
    eventually(lambda: "1 question waiting." in arena.text("status"))
    arena.tab_to("next")
    arena.press("Enter")
    eventually(lambda: len(arena.turns_requested()) == 2)
    assert arena.entries[0]["interrupted"]
    assert arena.turns_requested()[1]["messages"][1]["content"].endswith("A question from the audience: And cocoa?")
    arena.wait_for("over")
