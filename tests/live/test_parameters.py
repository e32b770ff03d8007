"""Every honoured chat parameter changes the output of the real model, as docs/parameters.md states."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from contracts.chat.request import ChatCompletionRequest
from contracts.parameters import parameters
from tests.live.client import ask, chat
from tests.live.divided_models import chat_model, rank_options
from tests.live.harness import LiveServer, start

Check = Callable[[dict[str, Any], dict[str, Any]], None]
Case = tuple[dict[str, Any], Any, Check]
"""Fields of both requests, the value that only the second request has, and the check of both answers."""
Cases = dict[str, Case]
Answers = dict[str, httpx.Response]

HONOURED = {name for name, found in parameters(ChatCompletionRequest).items() if found.status == "honoured"}

ELSEWHERE = {
    *("model", "messages", "stream", "stream_options", "timeout", "prefill_only"),
    *("audio", "heard", "max_spoken_seconds", "modalities", "context", "audio_input", "prompt_cache_key"),
}
"""Honoured parameters that the tests of errors, chats, spoken answers, file search and replicas cover."""
QUESTION = "Tell me a story about a dog and a cat."
GREEDY = {"temperature": 0, "max_tokens": 24}
HOT = {"temperature": 1.5, "seed": 1, "max_tokens": 8}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "mark",
        "parameters": {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}},
            "required": ["ok"],
            "additionalProperties": False,
        },
    },
}
CALLS = {"tools": [TOOL], "tool_choice": "required", "temperature": 0, "max_tokens": 60}
WORD: dict[str, Any] = {"type": "string", "pattern": "^[a-z]{6}$"}
WRITES: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "write",
        "parameters": {"type": "object", "properties": {"w": WORD}, "required": ["w"], "additionalProperties": False},
    },
}
"""A tool that two calls at a high temperature do not call alike: an answer ends at a call that it repeats."""
ENDLESS = {"logit_bias": {"0": -100, "2": -100}}
"""An answer that ends only where no other token is allowed."""
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}

# A template that opens a thought on request, for weights that were not trained for it.
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n
{%- endfor -%}
<|im_start|>assistant\n{{ "<think>\n" if enable_thinking else "" }}{{ "" if true else "</think>" }}
{{- "Briefly: " if reasoning_effort == "low" else "" }}"""


def differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert content(one) != content(other)


def content(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def tokens(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["completion_tokens"])


def calls(answer: dict[str, Any]) -> int:
    return len(answer["choices"][0]["message"].get("tool_calls") or [])


def top(answer: dict[str, Any]) -> list[Any]:
    return list(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"])


def says(text: str) -> Check:
    """Check that the second answer matches this pattern and the first does not."""

    def holds(one: dict[str, Any], other: dict[str, Any]) -> None:
        assert not re.fullmatch(text, content(one))
        assert re.fullmatch(text, content(other))

    return holds


def true(holds: Callable[[dict[str, Any], dict[str, Any]], bool]) -> Check:
    def check(one: dict[str, Any], other: dict[str, Any]) -> None:
        assert holds(one, other), (one, other)

    return check


CASES: Cases = {
    "n": ({"max_tokens": 2}, 2, true(lambda one, other: len(other["choices"]) == len(one["choices"]) + 1)),
    "max_tokens": (GREEDY, 3, true(lambda one, other: tokens(one) > tokens(other) == 3)),
    "max_completion_tokens": (
        {"temperature": 0, "max_completion_tokens": 8},
        3,
        true(lambda one, other: tokens(one) > tokens(other) == 3),
    ),
    "stop": (GREEDY, ["a"], true(lambda one, other: content(other) == content(one).partition("a")[0])),
    "temperature": ({**HOT, "temperature": 0}, 1.5, differ),
    "top_p": (HOT, 0.01, differ),
    "top_k": (HOT, 1, differ),
    "min_p": (HOT, 0.9, differ),
    "xtc_probability": ({**HOT, "temperature": 1.0, "xtc_threshold": 0.01}, 1.0, differ),
    "xtc_threshold": ({**HOT, "temperature": 1.0, "xtc_probability": 1.0}, 0.01, differ),
    "presence_penalty": (GREEDY, 2, differ),
    "frequency_penalty": (GREEDY, 2, differ),
    "repetition_penalty": (GREEDY, 2, differ),
    "repeat_penalty": (GREEDY, 2, differ),
    "functions": (
        {"max_tokens": 2},
        [TOOL["function"]],
        true(lambda one, other: other["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]),
    ),
    "function_call": (
        {"functions": [TOOL["function"]], "temperature": 0, "max_tokens": 60},
        {"name": "mark"},
        true(lambda _, other: other["choices"][0]["message"]["function_call"]["name"] == "mark"),
    ),
    "repetition_context_size": ({**GREEDY, "repetition_penalty": 2}, 1, differ),
    "logit_bias": ({**GREEDY, "max_tokens": 3}, {"260": 100}, says("( the){3}")),
    "seed": ({**HOT, "seed": 2}, 3, differ),
    "cache_salt": (
        {"max_tokens": 1},
        "another",
        true(lambda _, other: other["usage"]["prompt_tokens_details"]["cached_tokens"] == 0),
    ),
    "logprobs": (
        {"max_tokens": 2},
        True,
        true(lambda one, other: not one["choices"][0].get("logprobs") and len(top(other)) == 0),
    ),
    "top_logprobs": ({"max_tokens": 2, "logprobs": True}, 2, true(lambda one, other: len(top(one)) < len(top(other)))),
    "tools": (
        {"max_tokens": 2},
        [TOOL],
        true(lambda one, other: bool(one["usage"]["prompt_tokens"] < other["usage"]["prompt_tokens"])),
    ),
    "tool_choice": (
        {**CALLS, "tool_choice": "none", "max_tokens": 40},
        "required",
        true(lambda one, other: calls(one) < calls(other)),
    ),
    "parallel_tool_calls": (
        {**CALLS, **ENDLESS, "tools": [WRITES], "temperature": 1.5, "seed": 1, "max_tokens": 90},
        False,
        true(lambda one, other: calls(one) > calls(other) == 1),
    ),
    "response_format": (GREEDY, {"type": "json_object"}, true(lambda _, other: content(other).startswith("{"))),
    "guided_json": (GREEDY, SCHEMA, true(lambda _, other: "ok" in json.loads(content(other)))),
    "json_schema": (GREEDY, SCHEMA, true(lambda _, other: "ok" in json.loads(content(other)))),
    "grammar": (HOT, 'root ::= "<" [a-z] [a-z] ">"', says("<[a-z]{2}>")),
    "continue_final_message": (
        {**GREEDY, "messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Once"}]},
        True,
        true(lambda one, other: bool(one["usage"]["prompt_tokens"] > other["usage"]["prompt_tokens"])),
    ),
    "guided_regex": (HOT, "[a-c]{3}", says("[a-c]{3}")),
    "guided_choice": (HOT, ["yes", "perhaps"], says("yes|perhaps")),
    "guided_grammar": (HOT, 'start: "<" /[a-z]{1,5}/ ">"', says("<[a-z]{1,5}>")),
}

THOUGHTFUL = {"chat_template_kwargs": {"enable_thinking": True}}


def thinks(answer: dict[str, Any]) -> bool:
    return bool(answer["choices"][0]["message"].get("reasoning_content"))


THINKING: Cases = {
    "chat_template_kwargs": (GREEDY, {"enable_thinking": True}, true(lambda a, b: thinks(b) and not thinks(a))),
    "enable_thinking": (GREEDY, True, true(lambda a, b: thinks(b) and not thinks(a))),
    "think": (GREEDY, True, true(lambda a, b: thinks(b) and not thinks(a))),
    "thinking": (GREEDY, {"type": "enabled"}, true(lambda a, b: thinks(b) and not thinks(a))),
    "reasoning": (GREEDY, {"enabled": True}, true(lambda a, b: thinks(b) and not thinks(a))),
    "reasoning_effort": (GREEDY, "high", true(lambda a, b: thinks(b) and not thinks(a))),
    "max_reasoning_tokens": (
        {**GREEDY, **THOUGHTFUL},
        4,
        true(lambda a, b: not a["choices"][0]["message"]["content"] and bool(b["choices"][0]["message"]["content"])),
    ),
}


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """The embedded weights with a chat template that has thoughts."""
    folder = tmp_path_factory.mktemp("thinker")
    for file in chat_model().iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    running = start("--model-path", str(folder), *rank_options())
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def answers(server: LiveServer) -> Answers:
    return asked(server, CASES)


@pytest.fixture(scope="module")
def thoughts(thinker: LiveServer) -> Answers:
    return asked(thinker, THINKING)


def asked(server: LiveServer, cases: Cases) -> Answers:
    """Answers to all bodies, by body. Runs eight at a time, which takes little longer than one."""
    bodies = {key(body): body for name, case in cases.items() for body in pair(name, case)}

    def answer(body: dict[str, Any]) -> httpx.Response:
        return ask(server.url, chat(QUESTION, **body))

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(bodies, pool.map(answer, bodies.values()), strict=True))


def pair(name: str, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    common, value, _ = case
    return common, {**common, name: value}


def key(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True)


def compare(answers: Answers, name: str, case: Case) -> None:
    one, other = (answers[key(body)].raise_for_status().json() for body in pair(name, case))
    case[2](one, other)


def test_every_honoured_parameter_is_tested() -> None:
    assert CASES.keys() | THINKING.keys() | ELSEWHERE == HONOURED


@pytest.mark.parametrize("name", CASES)
def test_a_parameter_changes_the_answer(answers: Answers, name: str) -> None:
    compare(answers, name, CASES[name])


@pytest.mark.parametrize("name", THINKING)
def test_a_parameter_changes_the_thought(thoughts: Answers, name: str) -> None:
    compare(thoughts, name, THINKING[name])
