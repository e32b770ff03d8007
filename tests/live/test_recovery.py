"""An engine that hangs, and one that cannot load again: every request is answered, and the model returns by itself."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.live.client import PATIENCE, Stream, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.harness import LiveServer, start
from tests.unit.providers.engines import tiny

WATCHDOG_SECONDS = 3.0
LONG = {"temperature": 0, "max_tokens": 20_000, "logit_bias": {str(tiny.END): -100}}
"""An answer that takes half a minute, unless something ends it."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("models") / "tiny", max_position_embeddings=32_768)


@pytest.fixture(scope="module")
def small(weights: Path) -> Generator[LiveServer]:
    """A model that loads in no time, with four places and a watchdog that waits for three seconds."""
    options = ("--max-concurrency", "4", "--watchdog-timeout", f"{WATCHDOG_SECONDS:g}")
    running = start("--model-path", str(weights), *options)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


def ready(server: LiveServer) -> bool:
    return bool(ask(server.url, method="GET", path="/health").status_code == 200)


def whole_stream(url: str) -> Stream:
    with stream(url, chat("Count.", **LONG)) as answer:
        list(answer)
        return answer


def test_a_stopped_engine_is_replaced_and_every_request_is_answered(small: LiveServer) -> None:
    def tokens() -> Any:
        return ask(small.url, {"prompt": "x"}, path="/v1/tokenize")

    stopped = small.engine()
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(whole_stream, small.url) for _ in range(4)]
        eventually(lambda: queue_stats(small.url)["active"] == 4)
        waiting = [pool.submit(ask, small.url, chat("x", max_tokens=2)) for _ in range(2)]
        eventually(lambda: queue_stats(small.url)["pending"] == 2)

        stopped.suspend()

        counting = pool.submit(tokens)
        for each in streams:
            assert each.result(WATCHDOG_SECONDS + 10).failure["code"] == "engine_crashed"
        counted = counting.result(WATCHDOG_SECONDS + 10)
        waited = [each.result(WATCHDOG_SECONDS + 10) for each in waiting]
    assert_error(counted, 503, "engine_crashed", type="server_error")
    # A place that a slow reader holds until the engine is ready again is worth an answer.
    for answer in [each for each in waited if each.status_code != 200]:
        assert_error(answer, 503, "model_not_ready", type="server_error")
        assert int(answer.headers["retry-after"]) >= 1
    eventually(lambda: ready(small), PATIENCE, every=0.1)
    assert small.engine().pid != stopped.pid
    assert not stopped.is_running()
    assert ask(small.url, chat("x", max_tokens=2)).status_code == 200
    small.log.wait_for("engine hangs and is killed.*no sign of life for 3 s")


def test_weights_that_come_back_are_loaded_again(small: LiveServer, weights: Path) -> None:
    away = weights.with_name("away")

    def card() -> Any:
        return ask(small.url, method="GET", path="/v1/models").json()["data"][0]

    weights.rename(away)
    small.engine().kill()
    try:
        eventually(lambda: "cannot be loaded" in (card()["detail"] or ""), PATIENCE, every=0.1)
        assert card()["status"] == "restarting"
        health = ask(small.url, method="GET", path="/health")
        assert (health.status_code, health.json()["model_status"]) == (503, "restarting")
        refused = ask(small.url, chat("x"))
        assert str(weights) in assert_error(refused, 503, "model_not_ready", type="server_error")
        assert int(refused.headers["retry-after"]) >= 1
    finally:
        away.rename(weights)
    eventually(lambda: ready(small), PATIENCE, every=0.1)
    assert ask(small.url, chat("x", max_tokens=2)).status_code == 200
