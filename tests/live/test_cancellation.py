"""The real model when clients disconnect and processes die: places are freed, and no work or process remains."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.live.client import PATIENCE, ask, chat, eventually, queue_stats, sent, stream
from tests.live.harness import LiveServer, assert_gone, start

Launch = Callable[..., LiveServer]

THE = "260"
"""Id of the embedded model's token " the"; a bias of 100 on it makes an answer of nothing else."""
ENDLESS = {"temperature": 0, "max_tokens": 4000, "logit_bias": {THE: 100}}
"""An answer that takes minutes, unless it is cancelled."""
WORD = " the"


@pytest.fixture(scope="module")
def single() -> Generator[LiveServer]:
    """The embedded model with one place: a second request starts only after the first has ended in the engine."""
    running = start("--max-concurrency", "1")
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


def is_free(url: str) -> bool:
    stats = queue_stats(url)
    return bool(stats["active"] == 0 and stats["pending"] == 0)


def computed(url: str, text: str, up_to: int) -> int:
    """Number of words of the ENDLESS answer to `text` that the engine computed before it stopped; at most `up_to`.

    They stay in its prefix cache, so a next turn that continues this answer reports how many of them it reuses.
    """
    prompt = ask(url, chat(text, max_tokens=1)).json()["usage"]["prompt_tokens"]
    turns = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": WORD * up_to},
        {"role": "user", "content": "Go on."},
    ]
    usage = ask(url, {"model": "any", "messages": turns, "max_tokens": 1}).json()["usage"]
    cached: int = usage["prompt_tokens_details"]["cached_tokens"]
    return cached - prompt


def test_a_disconnect_ends_a_stream_within_one_decode_step(single: LiveServer) -> None:
    """The step that runs at the disconnect may end, and mlx-lm has already launched the next: at most two more words.

    A busy machine delays the disconnect itself by steps that are not the server's: the best of up to ten runs counts.
    """
    more = []
    for attempt in range(10):
        question = f"Question {attempt}"
        before = queue_stats(single.url)
        with stream(single.url, chat(question, **ENDLESS)) as answer:
            pieces = answer.pieces()
            while answer.text.count(WORD) < 4:
                next(pieces)
            read = answer.text.count(WORD)
        eventually(lambda: is_free(single.url))
        assert queue_stats(single.url)["cancelled"] == before["cancelled"] + 1

        more.append(computed(single.url, question, up_to=64) - read)
        if more[-1] <= 2:
            break

    assert min(more) <= 2, more
    assert max(more) < 60, more


def test_after_a_disconnect_the_next_request_starts_immediately(single: LiveServer) -> None:
    with stream(single.url, chat("First", **ENDLESS)) as first, ThreadPoolExecutor() as pool:
        first.first_piece()
        second = pool.submit(ask, single.url, chat("What is the capital of France?", temperature=0))
        eventually(lambda: queue_stats(single.url)["pending"] == 1)
        first.response.close()

        assert "Paris" in second.result(PATIENCE).json()["choices"][0]["message"]["content"]


def test_a_disconnect_cancels_an_answer_that_is_not_streamed(single: LiveServer) -> None:
    with sent(single.url, chat("Whole", **ENDLESS)):
        eventually(lambda: queue_stats(single.url)["active"] == 1)

    eventually(lambda: is_free(single.url))
    assert computed(single.url, "Whole", up_to=64) < 60  # of 4000


def test_clients_that_disconnect_while_waiting_do_not_affect_the_running_answer(single: LiveServer) -> None:
    before = queue_stats(single.url)
    with stream(single.url, chat("Patience", **ENDLESS)) as answer:
        pieces = answer.pieces()
        next(pieces)
        with sent(single.url, chat("x", stream=True)), sent(single.url, chat("x")):
            eventually(lambda: queue_stats(single.url)["pending"] == 2)
        eventually(lambda: queue_stats(single.url)["pending"] == 0)

        after = queue_stats(single.url)
        assert (after["active"], after["cancelled"]) == (1, before["cancelled"] + 2)
        assert next(pieces)
    eventually(lambda: is_free(single.url))


def test_a_disconnect_ends_the_prefill_of_a_long_prompt(single: LiveServer) -> None:
    """Prompts are computed in chunks. The running one may end, and another may begin before the disconnect arrives."""
    chunk = 256 if "device=cpu" in single.log.text else 2048
    words = "A river of words flows past the mill. "  # nine tokens
    with stream(single.url, chat(words * 800)) as answer:
        assert (
            next(iter(answer))["choices"][0]["delta"]["role"] == "assistant"
        )  # the request is accepted: prefill begins
    eventually(lambda: is_free(single.url))

    usage = ask(single.url, chat(words * (chunk // 3), max_tokens=1)).json()["usage"]

    assert usage["prompt_tokens"] > 3 * chunk
    assert usage["prompt_tokens_details"]["cached_tokens"] <= 2 * chunk


@pytest.mark.parametrize("victim", ["main", "worker"])
def test_killing_the_server_leaves_no_process(launch: Launch, victim: str) -> None:
    server = launch("--no-mlx-warmup")
    family = server.descendants()
    engine, worker = server.engine(), server.worker()
    assert {engine.pid, worker.pid} <= {process.pid for process in family}

    with stream(server.url, chat("Hi", **ENDLESS)) as answer:
        answer.first_piece()
        (psutil.Process(server.process.pid) if victim == "main" else worker).kill()
        with pytest.raises(httpx.HTTPError):
            list(answer)

    assert server.process.wait(PATIENCE) == (-signal.SIGKILL if victim == "main" else 1)
    assert_gone(family)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/health", timeout=PATIENCE)


def test_sigterm_lets_an_answer_of_the_real_model_finish(launch: Launch) -> None:
    server = launch("--no-mlx-warmup", "--grace-period", "60")
    family = server.descendants()

    with stream(server.url, chat("Hi", **{**ENDLESS, "max_tokens": 24})) as answer:
        answer.first_piece()
        server.process.send_signal(signal.SIGTERM)
        list(answer)

    assert (answer.text, answer.finish_reasons, answer.done) == (WORD * 24, ["length"], True)
    assert server.process.wait(PATIENCE) == 0
    assert_gone(family)


def test_ctrl_c_ends_the_real_model_without_a_grace_period(launch: Launch) -> None:
    server = launch("--no-mlx-warmup", "--grace-period", "300")
    family = server.descendants()

    with stream(server.url, chat("Hi", **ENDLESS)) as answer:
        answer.first_piece()
        for process in (server.process, server.worker()):  # a terminal's Ctrl-C; engines have a session of their own
            process.send_signal(signal.SIGINT)
        list(answer)
    code = server.process.wait(PATIENCE)

    assert answer.failure["code"] == "model_not_ready"
    assert code == 0
    assert_gone(family)
    assert server.log.wait_for_end(PATIENCE)
    assert "Traceback" not in server.log.text
