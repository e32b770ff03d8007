"""Pictures of the arena for the documentation: three moments of a debate, and a short moving one.

`python -m tests.measurements.picture_arena FOLDER [SECONDS]`, on a quiet machine with Chromium and Pillow: the embedded
models debate two rounds, with turns of at most SECONDS. Writes `arena-first.webp`, `arena-later.webp`,
`arena-verdict.webp` and the moving `arena.webp` into the folder, and prints the transcript with its ribbons. The moving
one shows the stage while the second and the third turn begin; the wait between them is left out.
"""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path

from PIL import Image

from tests.browser.arena import ArenaPage, arena_page
from tests.live.client import eventually
from tests.live.harness import start

WIDTH, HEIGHT = 1280, 860
WHOLE = 1250
"""Height of the page with the verdict."""
PATIENCE = 300.0
"""Seconds until a turn is spoken."""
MOVING_SECONDS = 4.6
"""How long the moving picture shows a speaker."""
MOVING_WIDTH = 640
FRAMES_PER_SECOND = 12

Frame = tuple[float, str]
"""When it was shown, in seconds, and the encoded picture."""


def main(folder: Path, seconds: int) -> None:
    running = start()
    try:
        with arena_page(running.url, "--hide-scrollbars") as arena:
            take(arena, folder, seconds)
    finally:
        running.stop()


def take(arena: ArenaPage, folder: Path, seconds: int) -> None:
    """Start a debate with the page's own motion and speakers, and take the pictures while it goes on."""
    arena.open(None)
    resize(arena, HEIGHT)
    arena.ready()
    eventually(lambda: arena.text("status") == "", within=PATIENCE)
    arena.evaluate(f"document.querySelector('[name=seconds]').value = {seconds}")
    arena.click("play")
    box = "document.getElementById('stage').getBoundingClientRect()"
    stage = arena.evaluate(f"(({{ x, y, width, height }}) => [x, y, x + width, y + height])({box})")
    spoken(arena, turn=0, seconds=2)
    save(picture(arena), folder / "arena-first.webp")
    spoken(arena, turn=1, seconds=0.2)
    frames = record(arena)
    spoken(arena, turn=2, seconds=0.2)
    frames += record(arena)
    save(picture(arena), folder / "arena-later.webp")
    arena.wait_for("over", within=PATIENCE)
    resize(arena, WHOLE)
    arena.evaluate("scrollTo(0, 0)")
    arena.wait_for_frames(60)
    save(picture(arena), folder / "arena-verdict.webp")
    move(frames, stage, folder)
    print(arena.evaluate("document.getElementById('entries').innerText"))


def resize(arena: ArenaPage, height: int) -> None:
    size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1}
    arena.page.command("Emulation.setDeviceMetricsOverride", mobile=False, **size)


def spoken(arena: ArenaPage, turn: int, seconds: float) -> None:
    """Wait until this much of a turn was heard."""

    def heard() -> bool:
        state = arena.state
        assert state["phase"] != "failed", state
        return len(arena.entries) == turn and state["speech"] == "playing" and (state["position"] or 0) >= seconds

    eventually(heard, within=PATIENCE, every=0.05)


def picture(arena: ArenaPage) -> Image.Image:
    return decoded(arena.page.command("Page.captureScreenshot", format="png")["data"])


def decoded(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def save(image: Image.Image, path: Path) -> None:
    image.save(path, quality=88, method=6)


def record(arena: ArenaPage) -> list[Frame]:
    """What the page shows for `MOVING_SECONDS`, with square corners of the stage."""
    arena.evaluate("document.getElementById('stage').style.borderRadius = '0'")
    arena.wait_for_frames(3)
    page, frames, begun = arena.page, [], time.monotonic()
    page.events.clear()
    page.command("Page.startScreencast", format="jpeg", quality=92, everyNthFrame=2)
    while time.monotonic() - begun < MOVING_SECONDS:
        time.sleep(0.02)
        page.evaluate("0")
        seen, page.events = page.events, []
        for event in seen:
            if event["method"] == "Page.screencastFrame":
                frames.append(event["params"])
                page.command("Page.screencastFrameAck", sessionId=event["params"]["sessionId"])
    page.command("Page.stopScreencast")
    arena.evaluate("document.getElementById('stage').style.borderRadius = ''")
    return [(frame["metadata"]["timestamp"], frame["data"]) for frame in frames]


def move(frames: list[Frame], stage: list[float], folder: Path) -> None:
    """Write the frames at an even pace, without what is longer than a second between two of them."""
    shown: list[Image.Image] = []
    ahead = 0.0
    ends = [*(at for at, _ in frames[1:]), frames[-1][0] + 0.2]
    for (at, data), end in zip(frames, ends, strict=True):
        ahead += min(end - at, 1.0)
        part = decoded(data).crop((round(stage[0]), round(stage[1]), round(stage[2]), round(stage[3])))
        part = part.resize((MOVING_WIDTH, MOVING_WIDTH * part.height // part.width), Image.Resampling.LANCZOS)
        while ahead > 0:
            shown.append(part)
            ahead -= 1 / FRAMES_PER_SECOND
    pace = round(1000 / FRAMES_PER_SECOND)
    shown[0].save(
        folder / "arena.webp", save_all=True, append_images=shown[1:], duration=pace, loop=0, quality=72, method=4
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12)
