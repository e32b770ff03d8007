"""The page at `/arena` in headless Chromium: how tests start a debate, watch it and read what it requests."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import AUDIBLE, Page, browsing, find_chromium, shared
from tests.live.client import eventually

__all__ = ["ArenaPage", "arena_page", "in_step", "settings"]

IN_STEP_SECONDS = 0.05
"""How far a mouth may be from its viseme."""

_RECORD = """
window.requests = [];
const real = window.fetch;
window.fetch = (path, options) => {
  if (typeof options?.body === "string") requests.push({ path: String(path), body: JSON.parse(options.body) });
  return real(path, options);
};
const frame = window.requestAnimationFrame;
let drawn = null;
window.before = null;
window.requestAnimationFrame = (draw) => frame.call(window, (now) => {
  if (now !== drawn) window.before = window.arena?.state().position ?? null;
  drawn = now;
  return draw(now);
});
let ear = null;
window.loudest = () => {
  const heard = new Float32Array(ear?.fftSize ?? 1);
  ear?.getFloatTimeDomainData(heard);
  return Math.max(...heard.map(Math.abs));
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    ear ??= to.context.createAnalyser();
    connect.call(this, ear);
  }
  return connect.call(this, to, ...rest);
};
"""
"""Runs before the page's scripts: keeps the bodies that the page sends, listens to its sound, and notes the position of
the speech before each frame is drawn."""

_WATCH = """
window.frames_seen = [];
(function watch() {
  const { side, position, speech, visemes } = arena.state();
  const now = document.querySelector("#caption .now")?.textContent ?? null;
  const from = Math.min(window.before ?? 0, position);
  if (speech === "playing" && position > 0)
    frames_seen.push({ side, before: from, position, mouth: visemes[side], now, loud: loudest() });
  requestAnimationFrame(watch);
})();
"""
"""Notes the mouth and the caption of each frame, after the page has drawn it."""

_KEYS = {"Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "), "Tab": ("Tab", 9, "")}


def settings(topic: str = "Tea or coffee?", **changes: Any) -> dict[str, Any]:
    """Settings of a short debate, as the page keeps them."""
    persona = {"prompt": "You argue.", "model": "echo"}
    sides = [{"name": "Ada", "voice": "af_heart", **persona}, {"name": "Bruno", "voice": "bm_george", **persona}]
    return {"topic": topic, "personas": sides, "rounds": 1, "temperature": 0.5, "seconds": 20, **changes}


class ArenaPage:
    """The page of one server."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def load(self, wanted: dict[str, Any]) -> None:
        """Open the page with these settings, as if they had been entered before, and wait until it can start."""
        self.open(wanted)
        self.ready()

    def open(self, wanted: dict[str, Any] | None, path: str = "/arena", before: str = "") -> None:
        """Open the page at `path`. `before` runs before its scripts."""
        self.page.open("about:blank")
        for domain in ("Page", "Runtime", "Log"):
            self.page.command(f"{domain}.enable")
        entered = f"localStorage.setItem('arena-settings', {json.dumps(json.dumps(wanted))});"
        source = f"if (location.pathname.startsWith('/arena')) {{ {entered} }} {_RECORD} {before}"
        self.page.command("Page.addScriptToEvaluateOnNewDocument", source=source)
        self.page.command("Page.navigate", url=f"{self.url}{path}")

    def reload(self) -> None:
        self.evaluate("window.stale = true")
        self.page.command("Page.reload")
        eventually(lambda: self.evaluate("!window.stale"))
        self.ready()

    def ready(self, filled: str = "[name=model-0] option") -> None:
        """Wait until the page has what the server told it, which is in the element `filled`."""
        loaded = f"Boolean(window.arena && document.querySelector('{filled}'))"
        eventually(lambda: self.evaluate(loaded))
        self.evaluate(_WATCH)

    def evaluate(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Have another tab in front of the page, for the block."""
        other = self.page.create("about:blank")
        eventually(lambda: self.evaluate("document.hidden"))
        yield
        self.page.close(other)
        self.page.command("Page.bringToFront")
        eventually(lambda: not self.evaluate("document.hidden"))

    def press(self, key: str) -> None:
        code, number, text = _KEYS[key]
        for kind in ("keyDown", "keyUp"):
            self.page.command(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number, text=text
            )

    def tab_to(self, id: str) -> None:
        """Press the tab key until the element has the focus."""
        for _ in range(60):
            if self.evaluate("document.activeElement.id") == id:
                return
            self.press("Tab")
        pytest.fail(f"the tab key does not lead to {id}")

    def click(self, id: str) -> None:
        self.evaluate(f"document.getElementById('{id}').click()")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose these files in a file input."""
        root = self.page.command("DOM.getDocument")["root"]["nodeId"]
        node = self.page.command("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.page.command("DOM.setFileInputFiles", files=[*map(str, files)], nodeId=node)

    def text(self, id: str) -> str:
        shown: str = self.evaluate(f"document.getElementById('{id}').textContent")
        return shown

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.evaluate("arena.state()")
        return state

    @property
    def entries(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.evaluate("arena.debate()?.entries ?? []")
        return entries

    def turns_requested(self) -> list[dict[str, Any]]:
        """Bodies of the speakers' requests, in order."""
        sent: list[dict[str, Any]] = self.evaluate(
            "requests.filter((r) => r.body.modalities && !r.body.prefill_only).map((r) => r.body)"
        )
        return sent

    def wait_for(self, phase: str, within: float = 90.0) -> None:
        eventually(lambda: self.state["phase"] in (phase, "failed"), within=within)
        assert self.state["phase"] == phase, self.state

    def wait_for_speech(self, seconds: float, side: int = 0) -> None:
        """Wait until this much of a turn was played."""

        def played() -> bool:
            state = self.state
            return state["side"] == side and (state["position"] or 0) >= seconds

        eventually(played)

    def wait_for_frames(self, count: int) -> None:
        """Wait until the page has drawn this many frames, 60 of which take a second."""
        step = "left-- ? requestAnimationFrame(next) : done()"
        self.evaluate(f"new Promise((done) => {{ let left = {count}; const next = () => {step}; next(); }})")

    def problems(self) -> list[Any]:
        """Exceptions and errors of the console, since the page was opened."""
        self.evaluate("0")
        return [
            event["params"]
            for event in self.page.events
            if event["method"] == "Runtime.exceptionThrown"
            or (event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "assert"))
            or (event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error")
        ]


def in_step(frames: Iterable[dict[str, Any]], track: list[dict[str, Any]]) -> float:
    """Share of the frames whose mouth is that of a viseme within `IN_STEP_SECONDS` of what is heard.

    What is heard while a frame is drawn lies between two positions, which on a busy machine differ.
    """
    seen = [*frames]
    matches = [
        any(
            viseme["viseme"] == frame["mouth"]
            and viseme["start_time"] - IN_STEP_SECONDS <= frame["position"]
            and frame["before"] <= viseme["end_time"] + IN_STEP_SECONDS
            for viseme in track
        )
        for frame in seen
    ]
    return sum(matches) / len(matches)


@contextmanager
def arena_page(url: str, *options: str) -> Generator[ArenaPage]:
    """A page that may play sound, for the block. Skips the test where there is no browser.

    `options`: those of a browser of its own, instead of the one that all pages share.
    """
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium on this machine")
    with ExitStack() as stack:
        if not options:
            browser = shared(found)
        else:
            profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            browser = stack.enter_context(browsing(found, Path(profile), AUDIBLE, *options))
        yield ArenaPage(stack.enter_context(browser.page()), url)
