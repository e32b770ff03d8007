"""Pictures of a debate at `/arena`: chosen before it, shown during it, painted for a speaker, kept and downloaded.

The echo reads of a picture its size, and paints without weights.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser.arena import ArenaPage, arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.browser.test_accessibility import PACKAGES, SERIOUS
from tests.live.client import eventually
from tests.live.harness import LiveServer
from tests.live.test_sdk_node import npm_packages

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)

SHORT = {"seconds": 5}
LISTS = """
{
const listed = window.fetch;
window.refused = false;
window.fetch = async (path, options) => {
  if (refused && path === "v1/images/generations")
    return new Response(JSON.stringify({ error: { message: "No paint is left." } }), { status: 503 });
  const response = await listed(path, options);
  if (path !== "v1/models") return response;
  const { data } = await response.json();
  for (const model of data) {
    delete model.input_modalities;
    model.capabilities = model.capabilities.filter((name) => !LACKS.includes(name));
  }
  return new Response(JSON.stringify({ data }));
};
}
"""
"""Runs before the page's scripts: no model reads pictures, and none has the capabilities in LACKS."""


@pytest.fixture
def arena(server: LiveServer) -> Generator[ArenaPage]:
    with arena_page(server.url) as page:
        page.load(settings("Tea?", **SHORT))
        yield page


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A file with a picture that is larger than what the page sends, and is transparent on the left."""
    image = Image.new("RGBA", (2000, 1000), (200, 30, 30, 255))
    image.paste((0, 0, 0, 0), (0, 0, 1000, 1000))
    image.save(tmp_path / "wide map.png")
    return tmp_path / "wide map.png"


def lack(arena: ArenaPage, *capabilities: str) -> None:
    """Open the page again, as if the server had no model that reads pictures, and none with these capabilities."""
    source = LISTS.replace("LACKS", json.dumps(capabilities))
    arena.page.command("Page.addScriptToEvaluateOnNewDocument", source=source)
    arena.reload()


def opened(url: str) -> Image.Image:
    kind, data = url.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def shapes(content: str | list[dict[str, Any]]) -> list[Any]:
    """The parts of a message: its texts, and the sizes of its pictures."""
    if isinstance(content, str):
        return [content]
    return [part["text"] if part["type"] == "text" else opened(part["image_url"]["url"]).size for part in content]


def axe(arena: ArenaPage) -> Any:
    script = npm_packages(PACKAGES, "page-judges") / "node_modules" / "axe-core" / "axe.min.js"
    arena.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    arena.evaluate(script.read_text("utf-8"))
    return arena.evaluate(SERIOUS)


def stage(arena: ArenaPage) -> list[str]:
    """Alternative text and caption of the picture on the stage."""
    shown: list[str] = arena.evaluate(
        "[...document.querySelectorAll('#shown:not([hidden]) > *')].map((one) => one.alt ?? one.textContent)"
    )
    return shown


def pause(arena: ArenaPage, seconds: float, side: int = 0) -> None:
    """Pause the debate when this much of a turn was played: the turn does not end before what follows."""
    arena.wait_for_speech(seconds, side=side)
    arena.click("play")
    arena.wait_for("paused")


def visible(arena: ArenaPage, *selectors: str) -> list[bool]:
    return [arena.evaluate(f"document.querySelector('{one}').checkVisibility()") for one in selectors]


def status(arena: ArenaPage, part: str) -> str:
    text: str = arena.evaluate(f"document.querySelector('#{part} [role=status]').textContent")
    return text


def test_a_picture_that_is_chosen_before_the_debate_is_read_by_both_speakers(
    arena: ArenaPage, wide: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG but nothing else")
    arena.choose("#picture [type=file]", broken)
    eventually(lambda: status(arena, "picture") == "broken.png is no picture that this browser reads.")
    arena.choose("#picture [type=file]", wide)
    eventually(lambda: arena.evaluate("document.querySelector('#picture .alt').value") == "wide map")
    assert status(arena, "picture") == ""
    arena.evaluate("document.querySelector('#picture .alt').value = 'A [red] map'")
    arena.click("play")
    arena.wait_for_speech(1.5)
    assert stage(arena) == ["A [red] map", "Both speakers see this."]
    arena.click("next")
    arena.wait_for_speech(0.3, side=1)
    arena.click("next")
    arena.wait_for("over")

    first, second = arena.turns_requested()
    start = ["Both speakers see this picture:", (1024, 512)]
    assert shapes(first["messages"][1]["content"]) == [*start, "Ada, you have the floor. Make your case."]
    assert shapes(second["messages"][1]["content"]) == [*start, arena.entries[0]["heard"]]
    url = first["messages"][1]["content"][1]["image_url"]["url"]
    left = opened(url).getpixel((10, 10))
    assert isinstance(left, tuple)
    assert min(left) > 250, "what is transparent is white"
    assert f"![A \\[red\\] map]({url})\n" in arena.evaluate("arena.file('md')")
    assert axe(arena) == []
    arena.evaluate("document.querySelector('#picture button').click()")
    assert visible(arena, "#picture img", "#picture button") == [False, False]


def test_pictures_of_the_audience_and_of_a_speaker_reach_the_turns_after_them(arena: ArenaPage, wide: Path) -> None:
    disabled = "['show-picture', 'illustrate'].map((id) => document.getElementById(id).disabled)"
    assert arena.evaluate(disabled) == [True, True], "there is no debate"
    arena.click("play")
    pause(arena, 1.0)
    arena.choose("#gallery [type=file]", wide)
    eventually(lambda: stage(arena) == ["wide map", "The audience shows this."])
    arena.tab_to("picture-text")
    arena.page.command("Input.insertText", text="a red cube")
    arena.press("Enter")
    eventually(lambda: stage(arena) == ["a red cube", "Ada shows this."])
    assert arena.evaluate("document.getElementById('picture-text').value") == ""
    arena.click("next")
    pause(arena, 0.3, side=1)
    arena.click("illustrate")
    eventually(lambda: arena.evaluate("document.querySelector('#shown figcaption').textContent") == "Bruno shows this.")
    arena.click("next")
    arena.wait_for("over")

    (_, turn) = arena.turns_requested()
    assert shapes(turn["messages"][1]["content"]) == [
        f"{arena.entries[0]['heard']}\n\nThe audience shows this picture:",
        (1024, 512),
        "Ada shows this picture:",
        (1024, 1024),
    ]
    asked = arena.evaluate("requests.filter((r) => r.path === 'v1/images/generations').map((r) => r.body)")
    last = asked[1]["prompt"]
    assert (asked[0], last in arena.entries[3]["text"]) == ({"model": "echo", "prompt": "a red cube"}, True)
    kinds = ["turn", "picture", "illustration", "turn", "illustration"]
    assert [entry["kind"] for entry in arena.entries] == kinds
    verdict = arena.evaluate("requests.findLast((r) => r.path === 'v1/chat/completions').body.messages[1].content")
    assert "Audience: [picture: wide map]\nAda: [picture: a red cube]\nBruno: " in verdict
    assert f"**Ada:** ![a red cube]({arena.entries[2]['picture']['url']})\n" in arena.evaluate("arena.file('md')")
    assert axe(arena) == []

    arena.reload()
    figures = "[...document.querySelectorAll('#entries figure')].map((one) => one.querySelector('img').alt)"
    assert arena.evaluate(figures) == ["wide map", "a red cube", last]
    assert stage(arena) == [last, "Bruno shows this."]


def test_only_what_the_server_has_models_for_is_offered(arena: ArenaPage) -> None:
    controls = ("#picture", "#gallery", "#show-picture", "#illustrate")
    assert visible(arena, *controls) == [True, True, True, True]
    lack(arena)
    assert visible(arena, *controls) == [False, True, False, True]
    arena.click("play")
    pause(arena, 1.0)
    arena.evaluate("window.refused = true")
    arena.click("illustrate")
    eventually(lambda: status(arena, "gallery") == "No paint is left.")
    arena.evaluate("window.refused = false")
    arena.click("illustrate")
    eventually(lambda: stage(arena) == ["Ada, you have the floor.", "Ada shows this."])
    assert status(arena, "gallery") == ""
    arena.click("next")
    eventually(lambda: len(arena.turns_requested()) == 2)
    read = arena.turns_requested()[1]["messages"][1]["content"]
    assert read.endswith("\n\nAda shows this picture:\n\n[picture: Ada, you have the floor.]"), "its model reads none"

    lack(arena, "image")
    assert visible(arena, *controls) == [False, False, False, False]
