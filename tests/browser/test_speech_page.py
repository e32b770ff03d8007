"""Speech in headless Chromium: the page of docs/speech.md with the echo model, and the browser's decoders of formats.

Without Chromium, `tests/live/test_speech_page.py` runs the page's script in node.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.chromium import INSTALL_SECONDS, find_chromium, shared
from tests.live.client import PATIENCE, eventually
from tests.live.harness import start
from tests.live.test_speech_page import DOCUMENT, is_part_of

SAID = "Hello there. How are you?"

# A stand-in for the avatar, and a recorder of its shapes and of the sound.
WATCHER = """
const names = ["sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U"];
const mesh = {
  morphTargetDictionary: Object.fromEntries(names.map((name, place) => [`viseme_${name}`, place])),
  morphTargetInfluences: new Array(names.length).fill(0),
};
const seen = { shapes: [], moved: [], loudest: 0, error: null };
let ear = null;
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    ear ??= to.context.createAnalyser();
    connect.call(this, ear);
  }
  return connect.call(this, to, ...rest);
};
function watch() {
  const now = mesh.morphTargetInfluences;
  const strongest = names[now.indexOf(Math.max(...now))];
  if (seen.shapes.at(-1) !== strongest) seen.shapes.push(strongest);
  if (ear) {
    const heard = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(heard);
    seen.loudest = Math.max(seen.loudest, ...heard.map(Math.abs));
  }
  requestAnimationFrame(watch);
}
watch();
await speak(mesh, SAID).catch((error) => (seen.error = String(error)));
seen.moved = names.filter((_, place) => mesh.morphTargetInfluences[place] > 0);
await fetch("/seen", { method: "POST", body: JSON.stringify(seen) });
"""


class Page:
    """Web server with one page; the page posts what it recorded."""

    def __init__(self, script: str) -> None:
        self.seen: dict[str, Any] = {}
        self.told = threading.Event()
        page = f'<!doctype html><script type="module">{script}</script>'.encode()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(page)

            def do_POST(self) -> None:
                outer.seen = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(b"")
                outer.told.set()

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.timeout(INSTALL_SECONDS + 200)
def test_the_browser_plays_every_sentence_and_moves_the_mouth(tmp_path: Path) -> None:
    browser = find_chromium()
    if browser is None:
        pytest.skip("no Chromium on this machine")
    (script,) = re.findall(r'<script type="module">\n(.*?)</script>', DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    echo = start("--model-type", "echo")
    page = Page(script.replace("http://127.0.0.1:8000", echo.url) + WATCHER.replace("SAID", json.dumps(SAID)))
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={tmp_path}", page.url]
    running = subprocess.Popen([browser, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert page.told.wait(90), "the page never came to its end"
        asked = {"model": "any", "input": SAID, "include_visemes": True}
        visemes = httpx.post(f"{echo.url}/v1/audio/speech", json=asked, timeout=PATIENCE).json()["visemes"]
    finally:
        running.terminate()
        running.wait(30)
        page.server.shutdown()
        assert echo.stop() == 0

    assert page.seen["error"] is None
    assert 0.1 < page.seen["loudest"] <= 1, "something is heard"
    expected = [shape for before, shape in pairwise(["", *(v["viseme"] for v in visemes)]) if shape != before]
    # A busy machine misses frames, and shapes with them, but the order of the others stays.
    assert is_part_of(page.seen["shapes"], expected), (page.seen["shapes"], expected)
    assert len(page.seen["shapes"]) >= 5
    assert set(page.seen["moved"]) >= set(page.seen["shapes"])


DECODE = """
fetch("/v1/audio/speech", {
  method: "POST",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({model: "any", input: SAID, response_format: FORMAT}),
}).then((answer) => answer.arrayBuffer())
  .then((bytes) => new OfflineAudioContext(1, 1, 24000).decodeAudioData(bytes))
  .then((sound) => sound.length)
"""
FRAMES = {"mp3": 576, "opus": 480, "aac": 1024, "flac": 0, "wav": 0}
"""Samples in one frame of the codec; a decoder may add up to one frame."""


@pytest.mark.timeout(INSTALL_SECONDS + 200)
def test_the_browser_decodes_every_format_to_the_same_length() -> None:
    browser = find_chromium()
    if browser is None:
        pytest.skip("no Chromium on this machine")
    echo = start("--model-type", "echo")
    try:
        asked = {"model": "any", "input": SAID, "response_format": "pcm"}
        length = len(httpx.post(f"{echo.url}/v1/audio/speech", json=asked, timeout=PATIENCE).content) // 2
        with shared(browser).page() as page:
            page.open(f"{echo.url}/health")
            eventually(lambda: page.evaluate("location.href").startswith(echo.url))
            script = DECODE.replace("SAID", json.dumps(SAID))
            heard = {name: page.evaluate(script.replace("FORMAT", json.dumps(name))) for name in FRAMES}
    finally:
        assert echo.stop() == 0

    assert length > 24_000
    assert all(abs(heard[name] - length) <= frame for name, frame in FRAMES.items()), (length, heard)
