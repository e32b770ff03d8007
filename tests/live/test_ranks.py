"""One model on two ranks, which divide each layer or the layers: it answers as one process does, and a rank that dies
or hangs costs only its requests."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import yaml
from mlx_lm.models import qwen2
from openai import OpenAI

from tests.live import test_chat, test_chat_in_full
from tests.live.client import PATIENCE, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.harness import LiveServer, start
from tests.unit.providers.engines import tiny

SECONDS = 60.0
WITHOUT_END = {str(tiny.END): -100}
LONG = {"temperature": 0, "max_tokens": 20_000, "logit_bias": WITHOUT_END}
"""An answer that takes minutes, unless something ends it."""
SCHEMA = {
    "type": "object",
    "properties": {"side": {"enum": ["for", "against"]}, "sure": {"type": "boolean"}},
    "required": ["side", "sure"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """The same weights as `one` in a process of its own, as `two` on ranks that share every layer, have joined
    projections and speculate, as `piped` on ranks of which one has two layers and the other has one, and as `pair` on
    two replicas of two ranks each."""
    folder = tmp_path_factory.mktemp("ranks")
    family = {"model_type": "qwen2", "num_hidden_layers": 3, "max_position_embeddings": 32_768}
    weights = {"model_path": str(tiny.write_folder(folder / "tiny", architecture=qwen2, **family))}
    two: dict[str, Any] = {"tensor_parallel": 2, "prompt_lookup": 4, "watchdog_timeout": 5, "aliases": ["any"]}
    two["decode_step"] = "own"
    config = folder / "config.yaml"
    piped = {"pipeline": 2, "prefix_cache_dir": str(folder / "kept")}
    pair = {"tensor_parallel": 2, "replicas": 2}
    names: dict[str, dict[str, Any]] = {"one": {}, "two": two, "piped": piped, "pair": pair}
    models = [{**weights, "served_model_name": name, **options} for name, options in names.items()]
    config.write_text(yaml.safe_dump({"models": models}))
    running = start("--config", str(config))
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def server(both: LiveServer) -> LiveServer:
    """The server of the tests that other modules define: their model `any` is `two`."""
    return both


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def ranks(server: LiveServer) -> list[psutil.Process]:
    """The processes that share `two`, by rank."""
    launcher = re.findall(r"engine starts.* model=two pid=(\d+)", server.log.text)[-1]
    return ranks_of(int(launcher))


def ranks_of(launcher: int) -> list[psutil.Process]:
    """The processes that a launcher started, by rank."""
    found = {process.environ().get("MLX_RANK"): process for process in psutil.Process(launcher).children()}
    return [found[rank] for rank in ("0", "1")]


def replicas(server: LiveServer) -> list[dict[str, Any]]:
    """The replicas of `pair`, by number."""
    models = ask(server.url, method="GET", path="/internal/diagnostics").json()["models"]
    (found,) = (model["replicas"] for model in models if model["id"] == "pair")
    return list(found)


# Tests of the embedded model that do not depend on its words, on `two`.
test_a_seed_gives_the_same_answer_inside_a_batch = test_chat.test_a_seed_gives_the_same_answer_inside_a_batch
test_any_64_bit_seed_is_accepted = test_chat.test_any_64_bit_seed_is_accepted
test_eight_streams_equal_the_separate_ones = test_chat.test_eight_concurrent_streams_equal_the_separate_ones
test_thirty_turns_of_empty_strings_are_answered = test_chat.test_thirty_turns_of_empty_strings_are_answered
test_a_request_id_used_twice = test_chat.test_two_clients_with_the_same_request_id_each_get_their_own_answer
test_a_required_call = test_chat_in_full.test_the_model_makes_a_required_call_and_uses_its_result
test_a_guided_answer_matches_its_guide = test_chat_in_full.test_a_guided_answer_matches_its_guide
test_a_truncated_constraint = test_chat_in_full.test_a_truncated_constrained_answer_has_the_finish_reason_length
test_several_answers_share_a_prompt_and_differ = test_chat_in_full.test_several_answers_share_a_prompt_and_differ
test_several_streamed_answers = test_chat_in_full.test_a_stream_has_the_requested_answers_and_each_ends_once
test_a_format_beside_tools = (
    test_chat_in_full.test_with_tools_and_a_response_format_an_answer_without_a_call_has_that_format
)


def status(server: LiveServer, model: str = "two") -> str:
    return str(ask(server.url, method="GET", path=f"/v1/models/{model}").json()["status"])


def answers(server: LiveServer, model: str, **parameters: Any) -> list[str]:
    body = chat("Say hello to the world.", model=model, max_tokens=24, logit_bias=WITHOUT_END) | parameters
    answer = ask(server.url, body)
    assert answer.status_code == 200, answer.text
    return [choice["message"]["content"] for choice in answer.json()["choices"]]


@pytest.mark.parametrize("model", ["two", "piped"])
def test_two_ranks_answer_as_one_process_does(both: LiveServer, model: str) -> None:
    greedy: dict[str, Any] = {"temperature": 0}
    requests: list[dict[str, Any]] = [
        greedy,
        greedy | {"messages": chat("hello " * 40)["messages"], "max_tokens": 60},
        greedy | {"presence_penalty": 1.5, "stop": ["zz"]},
        {"seed": 5, "n": 3},
        {"seed": 6, "top_p": 0.9, "top_k": 20},
    ]
    for request in requests:
        assert answers(both, model, **request) == answers(both, "one", **request), request
    with ThreadPoolExecutor() as pool:  # in one batch, whose sequences begin and end at different steps
        together = [pool.submit(answers, both, model, **request) for request in requests]
    assert [each.result() for each in together] == [answers(both, "one", **request) for request in requests]
    body = chat("Say hello to the world.", model=model, max_tokens=24, logit_bias=WITHOUT_END, **greedy)
    with stream(both.url, body) as answer:
        list(answer)
        assert answer.text == answers(both, "one", **greedy)[0]


@pytest.mark.parametrize("several", ["two", "piped"])
def test_both_ranks_reuse_a_conversation(both: LiveServer, several: str) -> None:
    def said(model: str) -> tuple[str, int]:
        turns = chat("Tell me about the sea. " * 4, model=model, temperature=0, max_tokens=12, logit_bias=WITHOUT_END)
        first = ask(both.url, turns).json()["choices"][0]["message"]
        turns["messages"] += [first, {"role": "user", "content": "And about the hills?"}]
        second = ask(both.url, turns).json()
        cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
        return second["choices"][0]["message"]["content"], cached

    answer, cached = said(several)
    assert answer == said("one")[0]
    assert cached > 50


def test_both_ranks_find_their_parts_of_a_prompt_when_the_model_is_loaded_again(both: LiveServer) -> None:
    def said() -> tuple[str, int]:
        turn = chat("The wind is over the water. " * 4, temperature=0, max_tokens=12, logit_bias=WITHOUT_END)
        answer = ask(both.url, turn | {"model": "piped"}).json()
        return answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]

    text, cached = said()
    assert ask(both.url, path="/v1/models/piped/unload").json()["status"] == "unloaded"
    assert cached < 50 < said()[1]
    assert said()[0] == text


def test_an_answer_follows_its_schema(both: LiveServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
    verdicts = [json.loads(answers(both, "two", seed=seed, max_tokens=60, response_format=form)[0]) for seed in (1, 2)]
    assert all(set(verdict) == {"side", "sure"} for verdict in verdicts)


def test_a_client_that_leaves_and_a_timeout_free_their_slots(both: LiveServer) -> None:
    with stream(both.url, chat("Count.", model="two", **LONG)) as answer:
        answer.first_piece()
    late = ask(both.url, chat("Count.", model="two", timeout=0.3, **LONG))
    assert_error(late, 504, "timeout", type="server_error")
    eventually(lambda: queue_stats(both.url, "two")["active"] == 0, SECONDS)
    assert answers(both, "two", temperature=0) == answers(both, "one", temperature=0)


@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_rank_that_is_lost_costs_its_requests_and_nothing_else(
    both: LiveServer, rank: int, number: signal.Signals
) -> None:
    lost = ranks(both)
    with stream(both.url, chat("Count.", model="two", **LONG)) as answer:
        answer.first_piece()
        lost[rank].send_signal(number)
        list(answer)
    assert answer.failure["code"] == "engine_crashed"
    assert answers(both, "one", temperature=0)
    _, left = psutil.wait_procs(lost, SECONDS)
    assert not left
    eventually(lambda: status(both) == "ready", SECONDS, every=0.1)
    assert answers(both, "two", temperature=0) == answers(both, "one", temperature=0)


def test_replicas_of_several_ranks_answer_together_and_die_alone(both: LiveServer) -> None:
    with stream(both.url, chat("Count.", model="pair", **LONG)) as lost:
        lost.first_piece()
        (busy,) = (each for each in replicas(both) if each["active"])
        with stream(both.url, chat("Count on.", model="pair", **LONG)) as other:
            other.first_piece()
            assert [each["active"] for each in replicas(both)] == [1, 1]
            ranks_of(busy["pid"])[1].kill()
            list(lost)
            assert lost.failure["code"] == "engine_crashed"
            assert answers(both, "pair", temperature=0) == answers(both, "one", temperature=0)
            assert other.first_piece()
    eventually(lambda: [each["status"] for each in replicas(both)] == ["ready", "ready"], SECONDS, every=0.1)
    assert answers(both, "pair", temperature=0, n=2) == answers(both, "one", temperature=0, n=2)
