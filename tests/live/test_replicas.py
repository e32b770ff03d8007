"""Two engines of one model in the installed command: who answers, what a death takes along, other options meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.live.client import ask, eventually, queue_stats, stream
from tests.live.harness import LiveServer, start

MODEL = "pair"


def options(tokens: int) -> str:
    """The file with the model, and a limit of answers that set none.

    The precision is given: where other tests leave little memory, the model would stay quantised, which is slow here.
    """
    return f"models:\n  - {{name: {MODEL}, replicas: 2, dtype: float32, mlx_warmup: false, max_tokens: {tokens}}}\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("replicas") / "models.yaml"
    file.write_text(options(500))
    return file


@pytest.fixture(scope="module")
def pair(config: Path) -> Generator[LiveServer]:
    """The embedded model on two engines, as a service: without a terminal, SIGHUP reads the file again."""
    running = start("--config", str(config), terminal=False)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


def body(*texts: str, **parameters: Any) -> dict[str, Any]:
    """A conversation that the user begins."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return {"model": MODEL, "messages": messages, "temperature": 0, **parameters}


def replicas(server: LiveServer) -> list[dict[str, Any]]:
    (model,) = ask(server.url, method="GET", path="/internal/diagnostics").json()["models"]
    found: list[dict[str, Any]] = model["replicas"]
    return found


def ready(server: LiveServer) -> bool:
    return [each["status"] for each in replicas(server)] == ["ready", "ready"]


def replica_of_each(server: LiveServer) -> dict[str, int]:
    """The replica of each of the last requests, by the attributes of their spans."""
    requests = ask(server.url, method="GET", path="/traces/data").json()["requests"]
    spans = [(request["request_id"], span["attributes"]) for request in requests for span in request["spans"]]
    return {name: attributes["mlx.replica"] for name, attributes in spans if "mlx.replica" in attributes}


def test_conversations_keep_their_replica_and_find_their_prompts_there(pair: LiveServer) -> None:
    def talk(guest: int) -> list[int]:
        """Three turns. Returns the tokens of each that were in the prefix cache."""
        texts, cached = [], []
        for turn in range(3):
            texts.append(f"I am guest {guest}. What is {guest} plus {turn}?")
            answer = ask(pair.url, body(*texts, max_tokens=4), headers={"x-request-id": f"{guest}-{turn}"})
            assert answer.status_code == 200, answer.text
            texts.append(answer.json()["choices"][0]["message"]["content"])
            cached.append(answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"])
        return cached

    with ThreadPoolExecutor(4) as pool:
        cached = [*pool.map(talk, range(8))]

    by_request = replica_of_each(pair)
    conversations = [{by_request[f"{guest}-{turn}"] for turn in range(3)} for guest in range(8)]
    assert all(len(replicas) == 1 for replicas in conversations), by_request
    assert set.union(*conversations) == {0, 1}
    assert all(tokens > 0 for turns in cached for tokens in turns[1:]), cached


def test_a_key_keeps_requests_together_that_share_no_text(pair: LiveServer) -> None:
    chat = body("Something else.", max_tokens=2)
    response = {"model": MODEL, "input": "Another thing.", "max_output_tokens": 2}
    for number, (path, request) in enumerate([("chat/completions", chat), ("responses", response)]):
        headers = {"x-request-id": f"room-{number}"}
        answer = ask(pair.url, {**request, "prompt_cache_key": "room"}, path=f"/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        assert "x-ignored-parameters" not in answer.headers

    by_request = replica_of_each(pair)
    assert by_request["room-0"] == by_request["room-1"]


def test_all_pages_name_the_replicas(pair: LiveServer) -> None:
    (model,) = ask(pair.url, method="GET", path="/v1/models").json()["data"]
    stats = ask(pair.url, method="GET", path="/v1/queue/stats").json()
    metrics = ask(pair.url, method="GET", path="/metrics").text

    assert [each["replica"] for each in model["replicas"]] == [0, 1]
    assert [each["status"] for each in stats["replicas"][MODEL]] == ["ready", "ready"]
    assert len({each["pid"] for each in replicas(pair)}) == 2
    for number in "01":
        assert f'mlx_replica_ready{{gen_ai_request_model="{MODEL}",mlx_replica="{number}"}} 1.0' in metrics
    pair.log.wait_for(r"engine ready .*replica=1")


def test_a_killed_replica_takes_only_its_requests_along_and_comes_back(pair: LiveServer) -> None:
    with stream(pair.url, body("Count from one to a thousand.", max_tokens=4000)) as lost:
        lost.first_piece()
        (victim,) = (each for each in replicas(pair) if each["active"])
        with stream(pair.url, body("Count from one to a hundred.", max_tokens=4000)) as kept:
            kept.first_piece()

            os.kill(victim["pid"], signal.SIGKILL)

            list(lost)
            assert lost.failure["code"] == "engine_crashed"
            assert f"replica {victim['replica']} of {MODEL}" in lost.failure["message"]
            for _ in range(3):
                assert kept.first_piece()
            assert ask(pair.url, body("Are you there?", max_tokens=2)).status_code == 200
    eventually(lambda: ready(pair))
    assert {each["replica"]: each["restarts"] for each in replicas(pair)} == {
        victim["replica"]: 1,
        1 - victim["replica"]: 0,
    }
    eventually(lambda: queue_stats(pair.url, MODEL)["active"] == 0)


def test_other_options_are_loaded_while_requests_are_answered(pair: LiveServer, config: Path) -> None:
    before = {each["pid"] for each in replicas(pair)}
    config.write_text(options(3))

    pair.process.send_signal(signal.SIGHUP)

    statuses = []
    while not {each["pid"] for each in replicas(pair)}.isdisjoint(before) or not ready(pair):
        statuses.append([each["status"] for each in replicas(pair)])
        answer = ask(pair.url, body("What is the capital of France?"))
        assert answer.status_code == 200, answer.text
        time.sleep(0.5)  # the engines that load need the processors
    assert all("ready" in each for each in statuses), statuses
    pair.log.wait_for(f"all replicas have other options .*model={MODEL}")
    answer = ask(pair.url, body("Count from one to a hundred."))
    assert answer.json()["usage"]["completion_tokens"] == 3
