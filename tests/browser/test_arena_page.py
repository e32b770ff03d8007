"""The page at `/arena` in a real browser, against a real server with the echo model.

The echo answers with the last user message, so each speaker repeats the one before.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.browser.arena import ArenaPage, arena_page, in_step, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.live.client import ask, eventually
from tests.live.harness import LiveServer, start

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)

OPENING = "Ada, you have the floor. Make your case."


@pytest.fixture(scope="module")
def server() -> Generator[LiveServer]:
    running = start("--model-type", "echo", "--model-path", "delay=0.01&prefill=0.05")
    yield running
    assert running.stop() == 0


@pytest.fixture
def arena(server: LiveServer) -> Generator[ArenaPage]:
    with arena_page(server.url) as page:
        yield page


def test_a_debate_is_started_by_keyboard_spoken_and_judged(arena: ArenaPage, server: LiveServer) -> None:
    arena.load(settings())
    assert arena.text("motion") == "Tea or coffee?"
    arena.tab_to("play")
    arena.press("Enter")
    arena.wait_for("over")

    turns = arena.entries
    assert [turn["heard"] for turn in turns] == [OPENING, OPENING]
    assert [turn["side"] for turn in turns] == [0, 1]
    frames = arena.evaluate("frames_seen")
    for turn in turns:
        own = [frame for frame in frames if frame["side"] == turn["side"]]
        assert len(own) > 20
        assert own[-1]["position"] > turn["duration"] - 0.5, "it plays to the end"
        assert in_step(own, turn["visemes"]) >= 0.95
        assert len({frame["mouth"] for frame in own}) >= 5
        spoken = {frame["now"] for frame in own} - {None}
        assert len(spoken) >= 5, "words light up one after the other"
        assert max(frame["loud"] for frame in own) > 0.05
        assert {"first text", "first audio", "first sound"} <= {*arena.evaluate(facts(turn))}
    eventually(lambda: "prefill" in arena.evaluate(facts(turns[1])))

    data = ask(server.url, method="GET", path="/traces/data").json()
    traced = {request["request_id"]: request["trace_id"] for request in data["requests"]}
    assert {traced[turn["requestId"]] for turn in turns} == {arena.evaluate("arena.debate().id")}
    (refused,) = arena.problems()
    assert "400" in refused["entry"]["text"], "the echo follows no schema: the verdict is requested again without one"


def facts(turn: dict[str, Any]) -> str:
    place = [0, 1][turn["side"]]
    return f"[...document.querySelectorAll('#entries li')[{place}].querySelectorAll('dt')].map((dt) => dt.textContent)"


def test_files_hold_the_debate_and_its_sound(arena: ArenaPage) -> None:
    arena.load(settings("Tea?"))
    arena.click("play")
    arena.wait_for("over")

    assert f"**Ada:** {OPENING}" in arena.evaluate("arena.file('md')")
    vtt = arena.evaluate("arena.file('vtt')")
    assert vtt.startswith("WEBVTT\n\n00:00:00.050 --> ")
    assert f"<v Ada>{OPENING}\n" in vtt
    assert f"<v Bruno>{OPENING}\n" in vtt
    seconds = sum(turn["duration"] + 0.5 for turn in arena.entries)
    eventually(lambda: arena.evaluate("arena.sound()") > 44)
    assert arena.evaluate("arena.sound()") == pytest.approx(44 + 48_000 * seconds, abs=4)


def test_later_prompts_hold_only_what_was_heard_of_an_interrupted_turn(arena: ArenaPage) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for_speech(1.6)
    arena.click("next")
    eventually(lambda: len(arena.turns_requested()) == 2)

    (cut,) = arena.entries
    assert cut["interrupted"]
    words = [word for word in cut["words"] if word["end_time"] * 1000 <= cut["playedMs"] + 1]
    assert 0 < len(words) < len(cut["words"])
    heard = OPENING[: words[-1]["end_char"]]
    assert cut["heard"] == heard
    assert arena.turns_requested()[1]["messages"][1:] == [{"role": "user", "content": heard}]


def test_ten_seconds_let_the_speaker_finish_and_a_question_waits_for_the_next_turn(arena: ArenaPage) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for_speech(1.0)
    arena.evaluate("document.getElementById('question').value = 'And cocoa?'")
    arena.evaluate("document.getElementById('audience').requestSubmit()")
    arena.click("closing")
    eventually(lambda: len(arena.turns_requested()) == 3)

    _, closing, other = arena.turns_requested()
    assert closing["max_spoken_seconds"] == 10
    own = closing["messages"][2]
    cut = arena.entries[0]
    assert own == {
        "role": "assistant",
        "content": cut["heard"],
        "audio": {"id": cut["audioId"], "played_ms": cut["playedMs"]},
    }
    assert closing["messages"][3]["content"] == "The moderator: you have 10 seconds. Finish in one sentence."
    assert other["messages"][1]["content"].endswith("A question from the audience: And cocoa?")
    arena.wait_for("over")
    assert [entry["kind"] for entry in arena.entries] == ["turn", "moderator", "closing", "question", "turn"]


def test_the_next_speaker_s_prompt_is_computed_during_a_turn(arena: ArenaPage) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for("over")

    sent = arena.evaluate("requests.map((r) => r.body)")
    first, turn = arena.turns_requested()
    ahead = [body for body in sent[sent.index(first) :] if body.get("prefill_only")]
    assert ahead[-1]["messages"] == turn["messages"]
    assert all(body["messages"][0] == turn["messages"][0] for body in ahead)
    assert "max_spoken_seconds" not in ahead[-1]


def test_pause_holds_the_sound_and_space_resumes_it(arena: ArenaPage) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for_speech(0.5)
    arena.click("play")
    arena.wait_for("paused")
    held = arena.state["position"]
    arena.wait_for_frames(30)
    assert arena.state["position"] == pytest.approx(held, abs=0.2)
    assert arena.text("play") == "Resume"
    arena.evaluate("document.activeElement.blur()")
    arena.press(" ")
    arena.wait_for("over")
    assert len(arena.entries) == 2


def test_a_reload_in_mid_debate_keeps_what_was_heard_and_continues(arena: ArenaPage) -> None:
    arena.load(settings())
    arena.click("play")
    arena.wait_for_speech(1.6)
    arena.reload()

    (cut,) = arena.entries
    assert cut["interrupted"]
    assert OPENING.startswith(cut["heard"])
    assert arena.text("play") == "Continue the debate"
    arena.click("play")
    arena.wait_for("over")
    assert [entry["side"] for entry in arena.entries] == [0, 1]
    assert arena.entries[1]["heard"] == cut["heard"]


def test_with_reduced_motion_only_the_mouth_moves(arena: ArenaPage) -> None:
    arena.open(settings())
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    arena.page.command("Emulation.setEmulatedMedia", features=features)
    arena.ready()
    arena.click("play")
    arena.wait_for_speech(1.5)
    moved = "[...document.querySelectorAll('.pair g[transform*=rotate]')].length"
    assert arena.evaluate(moved) == 0
    assert len(arena.evaluate("[...new Set(frames_seen.map((frame) => frame.mouth))]")) > 3


def test_a_hidden_tab_speaks_on_and_is_in_step_when_it_is_shown_again(arena: ArenaPage) -> None:
    arena.load(settings(rounds=2))
    # A browser lets timers of hidden tabs wait, up to a minute.
    arena.evaluate(
        "const timeout = setTimeout; window.setTimeout = (...all) => (document.hidden ? 0 : timeout(...all))"
    )
    arena.click("play")
    arena.wait_for_speech(0.5)
    with arena.hidden():
        drawn = arena.evaluate("frames_seen.length")
        eventually(lambda: arena.evaluate("loudest()") > 0.05)
        arena.wait_for_speech(0.5, side=1)
        eventually(lambda: arena.evaluate("loudest()") > 0.05)
        assert arena.evaluate("frames_seen.length") == drawn, "no frame is drawn"
    arena.wait_for("over")

    turns = arena.entries
    assert [turn["interrupted"] for turn in turns] == [False] * 4
    later = arena.evaluate(f"frames_seen.slice({drawn})")
    assert len(later) > 20
    for side in (0, 1):
        assert in_step([frame for frame in later if frame["side"] == side], turns[2 + side]["visemes"]) >= 0.95
    assert arena.text("caption") == OPENING


PLAY_SLOWLY = """
(async () => {
  const { Player } = await import("/arena/player.js");
  const player = new Player(), states = [];
  await player.unlock();
  const utterance = player.speak(0.4, (state) => states.push(state));
  const until = (state) => new Promise((done) => {
    const poll = setInterval(() => utterance.state === state && done(clearInterval(poll)), 5);
  });
  utterance.push(new Int16Array(4800), 0, 24000);
  await until("buffering");
  const { stalls } = utterance;
  utterance.push(new Int16Array(12000), 4800, 24000);
  WAIT
  utterance.close();
  return { how: await utterance.done, states, stalls, stalled: utterance.stalled, heard: utterance.position() };
})()
"""


@pytest.mark.parametrize("wait", ["", 'await until("playing"); await until("buffering");'])
def test_slow_speech_pauses_between_pieces_and_still_ends(arena: ArenaPage, wait: str) -> None:
    """The second piece is the last. The stream ends before it was played, or after it."""
    arena.load(settings())
    arena.click("play")  # the browser's permission to sound
    played = arena.evaluate(PLAY_SLOWLY.replace("WAIT", wait))

    assert played["how"] == "ended"
    assert played["states"][:2] == ["playing", "buffering"]
    assert played["stalls"] == 1
    assert played["stalled"] > 0
    assert played["heard"] == pytest.approx(0.7, abs=0.05)


def test_the_page_asks_for_the_server_s_key_and_sends_it() -> None:
    locked = start("--model-type", "echo", "--api-key", "hush")
    try:
        with arena_page(locked.url) as arena:
            arena.open(settings("Tea?"))
            eventually(lambda: arena.evaluate("document.getElementById('key')?.hidden === false && Boolean(arena)"))
            arena.evaluate("document.getElementById('secret').value = 'hush'")
            arena.evaluate("document.getElementById('key').requestSubmit()")
            arena.ready()
            assert arena.evaluate("document.getElementById('key').hidden")
            arena.click("play")
            arena.wait_for("over")
            assert len(arena.entries) == 2
    finally:
        assert locked.stop() == 0


def test_a_turn_that_a_restarted_server_broke_off_can_be_spoken_again() -> None:
    first = start("--model-type", "echo", "--model-path", "delay=0.5")
    port = first.url.rsplit(":", 1)[1]
    with arena_page(first.url) as arena:
        arena.load(settings())
        arena.click("play")
        arena.wait_for_speech(0.2)
        first.kill(first.descendants())
        arena.wait_for("failed")
        assert arena.text("reason") in (
            "The connection broke off.",
            "The server does not answer: it is restarting, or the network is down.",
        )
        arena.click("retry")
        arena.wait_for("failed")
        again = start("--model-type", "echo", "--port", port)
        try:
            arena.click("retry")
            arena.wait_for("over")
            assert [entry["interrupted"] for entry in arena.entries] == [False, False]
        finally:
            assert again.stop() == 0
