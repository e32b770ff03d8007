"""The page at `/talk` in a real browser with a recording as its microphone. The echo answers with what it hears."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.arena import ArenaPage, arena_page, in_step
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import eventually
from tests.live.harness import LiveServer
from tests.live.said import said
from tests.live.test_sdk_node import node_and_npm

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 600)

EXAMPLE = Path(__file__).parents[2] / "examples" / "realtime"
RATE = 24_000
PATIENCE = 120.0
RECORD = """
window.sockets = { sent: [], received: [] };
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  if (!this.recorded) {
    this.recorded = true;
    this.addEventListener("message", ({ data }) => sockets.received.push(JSON.parse(data)));
  }
  const event = JSON.parse(text);
  sockets.sent.push(event.audio ? { ...event, audio: event.audio.length } : event);
  send.call(this, text);
};
"""
"""Runs before the page's scripts: keeps the events of the page's sessions."""
PRESS_IN_MID_ANSWER = """
new Promise((done) => (function look() {
  // The recording begins anywhere in its sentence: an answer of which no word was heard would be dropped.
  const word = arena.turns().findLast(({ who }) => who === "avatar")?.words[0];
  const heard = word && (arena.state().position ?? 0) > Math.max(0.4, word.end_time + 0.1);
  if (!heard) return requestAnimationFrame(look);
  document.body.dispatchEvent(new KeyboardEvent("keydown", { code: "Space", bubbles: true }));
  done();
})())
"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the browser's fake microphone repeats: a sentence, and a second of silence."""
    return said(tmp_path_factory.mktemp("microphone"), "quick_brown_fox", silence=1.0)


@pytest.fixture(scope="module")
def hearing(microphone: Path) -> tuple[str, ...]:
    """Options of a browser with this microphone, which gives it without a question."""
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    return (*fake, f"--use-file-for-fake-audio-capture={microphone}")


@pytest.fixture
def talk(server: LiveServer, hearing: tuple[str, ...]) -> Generator[ArenaPage]:
    with arena_page(server.url, *hearing) as page:
        opened(page, "/talk")
        yield page


def opened(page: ArenaPage, path: str) -> None:
    page.open(None, path, RECORD)
    page.ready("[name=model] option")


def turns(page: ArenaPage, who: str) -> list[dict[str, Any]]:
    """The turns of one side that are over."""
    found: list[dict[str, Any]] = page.evaluate("arena.turns()")
    return [turn for turn in found if turn["who"] == who and turn["over"]]


def hold(page: ArenaPage, pressed: bool) -> None:
    kind = "keyDown" if pressed else "keyUp"
    page.page.command("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", windowsVirtualKeyCode=32)


def heard(page: ArenaPage, seconds: float) -> bool:
    """Whether the page has sent this much sound since the key was pressed."""
    return bool(page.evaluate("arena.state().sent") >= seconds * RATE)


def events(page: ArenaPage, side: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(f"sockets.{side}.filter(({{ type }}) => type === '{kind}')")
    return found


def test_a_person_talks_by_key_is_answered_with_a_moving_mouth_interrupts_and_talks_hands_free(talk: ArenaPage) -> None:
    talk.tab_to("start")
    talk.press("Enter")
    talk.wait_for("open")
    assert "space bar" in talk.text("status")
    talk.evaluate("document.activeElement.blur()")
    hold(talk, True)
    eventually(lambda: heard(talk, 4.5), within=PATIENCE)
    assert talk.text("hold") == "Release to send"
    hold(talk, False)
    eventually(lambda: turns(talk, "avatar"), within=PATIENCE)

    (own,) = turns(talk, "person")
    (answer,) = turns(talk, "avatar")
    assert "fox" in own["text"].lower()
    assert answer["heard"].strip() == own["text"].strip(), "the echo"
    assert talk.text("own") == own["text"]
    frames = talk.evaluate("frames_seen")
    assert len(frames) > 20
    assert frames[-1]["position"] > answer["samples"] / RATE - 0.5, "it plays to the end"
    assert in_step(frames, answer["visemes"]) >= 0.95
    assert len({frame["mouth"] for frame in frames}) >= 4
    assert len({frame["now"] for frame in frames} - {None}) >= 3, "words light up one after the other"
    assert max(frame["loud"] for frame in frames) > 0.05
    legs = talk.evaluate("[...document.querySelectorAll('#entries dt')].map((one) => one.textContent)")
    assert legs == ["transcript", "first text", "first audio", "first sound"]

    hold(talk, True)
    eventually(lambda: heard(talk, 3.0), within=PATIENCE)
    hold(talk, False)
    talk.evaluate(PRESS_IN_MID_ANSWER)
    _, cut = turns(talk, "avatar")
    assert cut["interrupted"]
    assert 0 < len(cut["heard"]) < len(cut["text"])
    (report,) = events(talk, "sent", "conversation.item.truncate")
    assert report["audio_end_ms"] == cut["playedMs"] > 300
    eventually(lambda: events(talk, "received", "conversation.item.truncated"), within=PATIENCE)
    assert talk.state["speech"] is None, "the avatar is quiet"

    before = len(turns(talk, "person"))
    talk.evaluate("document.querySelector('[value=hands-free]').click()")
    # Not the answers: the recording repeats, so its next turn may interrupt them before they have a sound. Nor only the
    # first turn: it may begin in the middle of a word.
    eventually(lambda: any(names_an_animal(turn) for turn in turns(talk, "person")[before:]), within=PATIENCE)
    assert events(talk, "received", "input_audio_buffer.speech_stopped")

    talk.evaluate("document.getElementById('start').click()")
    assert talk.state["phase"] == "over"
    assert talk.evaluate("sockets.received.filter(({ type }) => type === 'error')") == []
    assert talk.problems() == []


def names_an_animal(turn: dict[str, Any]) -> bool:
    return any(word in turn["text"].lower() for word in ("fox", "dog"))


def test_the_example_page_talks_with_a_key_of_one_session(server: LiveServer, hearing: tuple[str, ...]) -> None:
    command = [node_and_npm()[0], str(EXAMPLE / "serve.mjs"), f"--url={server.base_url}", "--model=echo", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as example:
        try:
            assert example.stdout is not None
            with arena_page(example.stdout.readline().strip().rstrip("/"), *hearing) as page:
                page.open(None, "/", RECORD)
                eventually(
                    lambda: page.evaluate("document.getElementById('hold')?.disabled === false"), within=PATIENCE
                )
                page.evaluate("document.getElementById('hold').onpointerdown()")
                count = "sockets.sent.filter(({ audio }) => audio).length"
                eventually(lambda: page.evaluate(count) > 35, within=PATIENCE)  # of 85 ms each
                page.evaluate("document.getElementById('hold').onpointerup()")
                eventually(lambda: events(page, "received", "response.done"), within=PATIENCE)
                assert page.text("said")
                assert page.text("answer") == page.text("said"), "the echo"
                eventually(lambda: page.text("mouth") != "sil", within=PATIENCE)
                assert page.problems() == []
        finally:
            example.terminate()


def test_a_microphone_that_is_refused_or_absent_is_named(server: LiveServer) -> None:
    with arena_page(server.url) as page:
        opened(page, "/talk")
        for error, reason in (("NotAllowedError", "blocked"), ("NotFoundError", "No microphone was found")):
            refuse = f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error}'); }}"
            page.evaluate(f"{refuse}; 0")
            page.click("start")
            eventually(lambda: page.state["phase"] == "failed")
            assert reason in page.text("reason")
            assert page.text("start") == "Start talking", "it can be tried again"
        assert events(page, "sent", "session.update") == [], "no session was opened"
