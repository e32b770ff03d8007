"""An engine that hangs, and one that cannot load again: every request is answered, and the model returns by itself."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.live.client import PATIENCE, Stream, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.harness import LiveServer, assert_gone, start
from tests.unit.providers.engines import tiny

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux kernel's own")
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
        eventually(lambda: "cannot be loaded" in (card().get("detail") or ""), PATIENCE, every=0.1)
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


def test_an_engine_holds_no_socket_of_the_server(small: LiveServer) -> None:
    # The listening socket would keep the port, and a client's connection would stay open, as long as an engine hangs.
    assert small.engine().net_connections(kind="inet") == []
    # Its own end of the socket pair, and the standard streams that it shares with the server.
    (link,) = small.engine().net_connections(kind="unix")
    assert small.engine().num_fds() < 12, link


@LINUX
def test_the_kernel_takes_an_engine_before_the_server_when_memory_runs_out(small: LiveServer) -> None:
    def points(process: psutil.Process) -> int:
        return int(Path(f"/proc/{process.pid}/oom_score_adj").read_text(encoding="ascii"))

    assert points(small.engine()) > points(small.worker())


@LINUX
def test_a_stopped_engine_dies_with_a_server_that_is_killed(weights: Path) -> None:
    server = start("--model-path", str(weights))
    family = server.descendants()
    server.engine().suspend()
    server.worker().kill()
    assert server.process.wait(PATIENCE) == 1
    assert_gone(family)


def test_a_second_ctrl_c_ends_a_server_that_does_not_answer(weights: Path) -> None:
    server = start("--model-path", str(weights))
    family = server.descendants()
    server.worker().suspend()
    server.process.send_signal(signal.SIGINT)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(PATIENCE) == 1
    assert_gone(family)
