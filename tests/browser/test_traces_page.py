"""The page at `/traces` in a real browser: headless Chromium against a real server with the echo model.

Without Chromium, and where none can be installed, the tests assert the same about the page's data only.
"""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest

from tests.browser.chromium import INSTALL_SECONDS, find_chromium, shared
from tests.live.client import ask, chat, eventually, stream
from tests.live.harness import LiveServer, start

STATE = "document.getElementById('state')?.textContent"
COUNT = "document.querySelectorAll('{of}').length"
ENTER = "document.getElementById('secret').value = '{key}'; document.getElementById('key').requestSubmit();"


def shown(browser: str, url: str) -> str:
    """The page's document, once it has drawn requests."""
    with shared(browser).page() as page:
        page.open(url)
        eventually(lambda: page.evaluate(f"{COUNT.format(of='.row')} > 0 && {STATE}.startsWith('live')"))
        document: str = page.evaluate("document.documentElement.outerHTML")
        return document


@pytest.fixture(scope="module")
def server() -> Generator[LiveServer]:
    running = start("--model-type", "echo", "--model-path", "delay=0.01&prefill=0.05", "--api-key", "hush")
    yield running
    assert running.stop() == 0


@pytest.mark.timeout(INSTALL_SECONDS + 200)
def test_the_page_draws_a_waterfall_of_each_request() -> None:
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
            everything = shown(browser, f"{running.url}/traces")
            assert "live · 3 requests" in everything
            assert everything.count('class="row"') == 3
            assert "<img" not in everything.split("<script>")[0]
            one = shown(browser, f"{running.url}/traces?request=turn-1")
            assert one.count('class="row"') == 1
            bars = re.findall(r'class="bar" style="left: ([0-9.]+)%; width: ([0-9.]+)%', one)
            assert len(bars) == 5
            assert all(float(left) + float(width) < 101 for left, width in bars)
            assert "mlx.decode.tokens_per_second" in one or "http.route" in one
            assert "0 waiting, 0 active" in one
    finally:
        assert running.stop() == 0


@pytest.mark.timeout(INSTALL_SECONDS + 200)
def test_the_page_asks_for_the_key_and_then_shows_the_request_in_its_url(server: LiveServer) -> None:
    authorized = {"authorization": "Bearer hush"}
    for request_id in ("turn-1", "turn-2"):
        ask(server.url, chat("one two"), headers={**authorized, "x-request-id": request_id})
    assert ask(server.url, method="GET", path="/traces/data").status_code == 401
    data = ask(server.url, method="GET", path="/traces/data", headers=authorized).json()
    assert [request["request_id"] for request in data["requests"]] == ["turn-1", "turn-2"]

    browser = find_chromium()
    if browser is None:
        return
    with shared(browser).page() as page:
        page.open(f"{server.url}/traces?request=turn-1")
        eventually(lambda: page.evaluate(STATE) == "the server asks for its API key")
        assert page.evaluate("document.getElementById('key').className") == "asked"

        page.evaluate(ENTER.format(key="wrong"))
        eventually(lambda: page.evaluate(STATE) == "this is not the API key")
        assert page.evaluate(COUNT.format(of=".row")) == 0

        page.evaluate(ENTER.format(key="hush"))
        eventually(lambda: page.evaluate(COUNT.format(of=".row")) == 1)
        assert page.evaluate("document.querySelector('.row').textContent").count("turn-1") == 1
        assert page.evaluate(COUNT.format(of=".bar")) == 5
        assert page.evaluate(COUNT.format(of="#key.asked")) == 0


@pytest.mark.timeout(INSTALL_SECONDS + 200)
def test_requests_of_one_trace_are_drawn_on_one_axis() -> None:
    running = start("--model-type", "echo", "--model-path", "delay=0.01&prefill=0.05")
    try:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        ask(running.url, chat("one two three"), headers=headers)
        ask(running.url, {"model": "any", "input": "One.", "voice": "alloy"}, path="/v1/audio/speech", headers=headers)
        ask(running.url, chat("of another trace"))
        browser = find_chromium()
        if browser is None:
            return
        page = shown(browser, f"{running.url}/traces?trace={trace_id}")
        assert "trace of 2 requests" in page
        assert page.count('class="row"') == 3, "both, and what they make together"
        bars = re.findall(r'class="bar" style="left: ([0-9.]+)%; width: ([0-9.]+)%', page)
        names = re.findall(r'class="name"[^>]*>([^<]+)<', page)
        placed = {name: (float(left), float(width)) for name, (left, width) in zip(names, bars, strict=True)}
        wrote, spoke = placed["POST /v1/chat/completions"], placed["POST /v1/audio/speech"]
        assert wrote[0] == 0
        assert spoke[0] >= wrote[0] + wrote[1]
        assert spoke[0] + spoke[1] == pytest.approx(100, abs=0.1)
    finally:
        assert running.stop() == 0
