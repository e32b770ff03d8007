"""The page at `/traces` in a real browser: headless Chromium against a real server with the echo model.

Where there is no Chromium and none can be installed, the same is asserted of the data alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.live.client import ask, chat, stream
from tests.live.harness import LiveServer, start

INSTALL_SECONDS = 240.0


def find_chromium() -> str | None:
    """A browser of this machine, or one that its package manager brings where we may ask it to."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium"
        try:
            subprocess.run(["sh", "-c", install], timeout=INSTALL_SECONDS, capture_output=True, check=True)
        except (subprocess.SubprocessError, OSError):
            return None
        return shutil.which("chromium")
    return None


@pytest.fixture(scope="module")
def server() -> Generator[LiveServer]:
    running = start("--model-type", "echo", "--model-path", "delay=0.01&prefill=0.05", "--api-key", "hush")
    yield running
    assert running.stop() == 0


def shown(browser: str, url: str, profile: Path) -> str:
    """The page's document after a few seconds of its own clock."""
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=4000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout


@pytest.mark.timeout(INSTALL_SECONDS + 200)
def test_the_page_draws_a_waterfall_of_each_request(tmp_path: Path) -> None:
    running = start("--model-type", "echo", "--model-path", "delay=0.01&prefill=0.05")
    try:
        hostile = "<img src=x onerror=alert(1)>"
        for request_id in ("turn-1", "turn-2", hostile):
            with stream(running.url, chat("one two three"), headers={"x-request-id": request_id}) as answer:
                list(answer)
        data = ask(running.url, method="GET", path="/traces/data").json()
        names = [span["name"] for span in data["requests"][0]["spans"]]
        assert names == ["POST /v1/chat/completions", "queue", "chat echo", "prefill", "decode"]
        browser = find_chromium()
        if browser is not None:
            everything = shown(browser, f"{running.url}/traces", tmp_path / "all")
            assert "live · 3 requests" in everything
            assert everything.count('class="row"') == 3
            assert "<img" not in everything.split("<script>")[0]
            one = shown(browser, f"{running.url}/traces?request=turn-1", tmp_path / "one")
            assert one.count('class="row"') == 1
            bars = re.findall(r'class="bar" style="left: ([0-9.]+)%; width: ([0-9.]+)%', one)
            assert len(bars) == 5
            assert all(float(left) + float(width) < 101 for left, width in bars)
            assert "mlx.decode.tokens_per_second" in one or "http.route" in one
            assert "0 waiting, 0 active" in one
    finally:
        assert running.stop() == 0


def test_the_page_asks_for_the_key(server: LiveServer, tmp_path: Path) -> None:
    assert ask(server.url, method="GET", path="/traces/data").status_code == 401
    browser = find_chromium()
    if browser is not None:
        page = shown(browser, f"{server.url}/traces", tmp_path)
        assert "the server asks for its API key" in page
        assert '<form id="key" class="asked">' in page
