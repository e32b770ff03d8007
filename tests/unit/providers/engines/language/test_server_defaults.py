"""Values that the server's options set for requests that have none of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import ChatPrompt, SamplingParams
from providers.engine_host.frames import Tokenize, Tokenized
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import chat
from tests.unit.providers.engines.inprocess import SteppedEngine

EVERY_TOKEN = SamplingParams(logit_bias={tiny.END: -100.0})
HOT = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 1.5}
"""A generation_config under which two answers differ."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write_folder(tmp_path / "tiny", generation=HOT)


def answers(engine: SteppedEngine, count: int = 3, **request: Any) -> set[str]:
    request = {"sampling": EVERY_TOKEN, "max_tokens": 12, **request}
    return {engine.ask(f"{number}", "once upon a time", **request).text for number in range(count)}


def prompt_of(engine: SteppedEngine, prompt: Any) -> str:
    counted = engine.engine.answer(Tokenize(id="count", prompt=prompt))
    assert isinstance(counted, Tokenized)
    return str(engine.engine._tokenizer.decode(counted.tokens))


def test_without_defaults_the_generation_config_applies(folder: Path) -> None:
    assert len(answers(SteppedEngine(folder))) == 3


def test_a_default_temperature_takes_precedence_over_the_generation_config(folder: Path) -> None:
    engine = SteppedEngine(folder, sampling=SamplingParams(temperature=0.0))

    assert len(answers(engine)) == 1


def test_a_request_takes_precedence_over_the_defaults(folder: Path) -> None:
    engine = SteppedEngine(folder, sampling=SamplingParams(temperature=0.0, seed=7))

    assert answers(engine, 1, sampling=SamplingParams(temperature=5.0, logit_bias=EVERY_TOKEN.logit_bias)) != answers(
        engine, 1
    )


def test_a_default_seed_gives_equal_requests_equal_answers(folder: Path) -> None:
    engine = SteppedEngine(folder, sampling=SamplingParams(seed=7))

    assert len(answers(engine)) == 1
    assert answers(engine) == answers(
        SteppedEngine(folder), sampling=SamplingParams(seed=7, logit_bias=EVERY_TOKEN.logit_bias)
    )


@pytest.mark.parametrize(
    "value",
    [
        SamplingParams(top_p=0.0),
        SamplingParams(top_k=1),
        SamplingParams(repetition_penalty=1.0, temperature=0.0),
        SamplingParams(presence_penalty=2.0, temperature=0.0),
        SamplingParams(frequency_penalty=2.0, temperature=0.0),
        SamplingParams(repetition_penalty=1.2, repetition_context_size=2, temperature=0.0),
        SamplingParams(min_p=1.0, repetition_penalty=1.0),
        SamplingParams(xtc_probability=1.0, xtc_threshold=0.0, seed=3),
    ],
    ids=repr,
)
def test_every_default_acts_as_the_same_value_in_a_request(folder: Path, value: SamplingParams) -> None:
    given = {name: getattr(value, name) for name in value.__struct_fields__ if getattr(value, name) is not None}
    in_the_request = SamplingParams(**{**given, "logit_bias": EVERY_TOKEN.logit_bias})

    expected = answers(SteppedEngine(folder), 1, sampling=in_the_request)

    assert answers(SteppedEngine(folder, sampling=value), 1) == expected


def test_a_default_limit_ends_answers_whose_request_has_none(folder: Path) -> None:
    engine = SteppedEngine(folder, max_tokens=5)

    for given, expected in ((None, 5), (9, 9)):
        finished = engine.ask(f"{given}", "hello", sampling=EVERY_TOKEN, max_tokens=given).finished
        assert finished is not None
        assert (finished.finish_reason, finished.usage.completion_tokens) == ("length", expected)


def test_a_default_limit_beyond_the_context_is_the_rest_of_the_context(folder: Path) -> None:
    engine = SteppedEngine(folder, max_tokens=10_000, context_length=40)

    finished = engine.ask("one", "hello", sampling=EVERY_TOKEN).finished
    assert finished is not None
    assert finished.usage.prompt_tokens + finished.usage.completion_tokens == 40


@pytest.mark.parametrize("as_file", [False, True])
def test_a_chat_template_replaces_the_models_own(folder: Path, as_file: bool) -> None:
    if as_file:
        (folder / "chat_template.jinja").write_text(tiny.TEMPLATE)
    engine = SteppedEngine(folder, chat_template="{{ 'SAID: ' + messages[0]['content'] }}")

    assert prompt_of(engine, chat(("user", "hello"))) == "SAID: hello"
    assert engine.ask("one", chat(("user", "hello")), max_tokens=2).finished is not None


def test_variables_for_the_template_are_those_of_the_request_else_the_servers(folder: Path) -> None:
    engine = SteppedEngine(folder, chat_template_args={"suffix": "server"})
    plain = chat(("user", "hello"))

    assert prompt_of(engine, plain).endswith("server")
    assert prompt_of(engine, ChatPrompt(plain.messages, template_kwargs={"suffix": "request"})).endswith("request")


def test_the_step_size_limits_the_prompts_part_of_a_step(folder: Path) -> None:
    steps = {}
    for size in (16, 64):
        engine = SteppedEngine(folder, prefill_step_size=size, prefix_cache_bytes=0, context_length=512)
        answer = engine.submit("one", "x" * 200, max_tokens=1)
        count = 0
        while not answer.finished:
            engine.step()
            count += 1
        steps[size] = count

    assert steps[16] - steps[64] >= 8
