"""The server's pages, judged by axe-core in headless Chromium, in both colour schemes and at the width of a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.arena import arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import eventually
from tests.live.harness import LiveServer
from tests.live.test_sdk_node import npm_packages

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)

PACKAGES = Path(__file__).with_name("node")
SERIOUS = """
axe.run().then(({ violations }) => violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .map(({ id, nodes }) => [id, ...nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`)]))
"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 1360), ("light", 360)])
def test_no_page_has_a_serious_violation(server: LiveServer, scheme: str, width: int) -> None:
    axe = (npm_packages(PACKAGES, "page-judges") / "node_modules" / "axe-core" / "axe.min.js").read_text(
        encoding="utf-8"
    )
    with arena_page(server.url) as arena:
        arena.load(settings("Tea?"))
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        arena.page.command("Emulation.setEmulatedMedia", features=features)
        arena.page.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
        )
        arena.evaluate(axe)
        assert arena.evaluate(SERIOUS) == [], "before the debate"
        assert arena.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
        arena.click("play")
        arena.wait_for_speech(0.5)
        assert arena.evaluate(SERIOUS) == [], "while one speaks"
        arena.wait_for("over")
        arena.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert arena.evaluate(SERIOUS) == [], "after the debate"

        arena.page.command("Page.navigate", url=f"{server.url}/")
        eventually(lambda: arena.evaluate("document.title") == "mlx-openai-server")
        arena.evaluate(axe)
        assert arena.evaluate(SERIOUS) == [], "the landing page"

        arena.page.command("Page.navigate", url=f"{server.url}/talk")
        eventually(lambda: arena.evaluate("Boolean(document.querySelector('[name=model] option'))"))
        arena.evaluate(axe)
        assert arena.evaluate(SERIOUS) == [], "the page of a conversation"
        assert arena.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing of it is cut off"
