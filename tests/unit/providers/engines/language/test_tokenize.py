"""Questions about tokens, answered beside the batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from providers.chat.types import ChatMessage, ChatPrompt, Prompt, SamplingParams, TextPrompt, TokenPrompt, Tool
from providers.engine_host.frames import Detokenize, Detokenized, Failed, Tokenize, Tokenized
from providers.engines.language.prompts.builder import MAX_COUNTED_CHARACTERS
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient, chat

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
WITH_TOOLS = ChatPrompt(messages=[ChatMessage(role="user", content="x")], tools=[Tool("get_time")])


def tokens_of(client: EngineClient, prompt: Prompt, add_special_tokens: bool | None = None) -> list[int]:
    answer = client.question(Tokenize("q", prompt, add_special_tokens))
    assert isinstance(answer, Tokenized), answer
    return answer.tokens


@pytest.mark.parametrize(
    "prompt", [TextPrompt("hello world"), TextPrompt(""), chat(("user", "hello")), TokenPrompt([5, 6]), WITH_TOOLS]
)
def test_tokens_are_those_that_generation_would_read(roomy: EngineClient, prompt: Prompt) -> None:
    answer = roomy.ask("a", prompt, sampling=NO_END, max_tokens=1)
    assert answer.accepted is not None
    assert len(tokens_of(roomy, prompt)) == answer.accepted.prompt_tokens


def test_text_and_tokens_lead_to_each_other(engine: EngineClient) -> None:
    text = "<|start|>héllo, hello\n  world 🎉<|end|>"
    tokens = tokens_of(engine, TextPrompt(text), add_special_tokens=False)
    assert tiny.START in tokens
    assert engine.question(Detokenize("d", tokens)) == Detokenized("d", [text])
    strings = engine.question(Detokenize("s", tokens, True))
    assert isinstance(strings, Detokenized)
    assert len(strings.texts) == len(tokens)
    assert strings.texts[0] == "<|start|>"
    assert "hello" in strings.texts


def test_nothing_is_nothing(engine: EngineClient) -> None:
    assert tokens_of(engine, TextPrompt(""), add_special_tokens=False) == []
    assert engine.question(Detokenize("d", [])) == Detokenized("d", [""])


def test_a_prompt_may_be_longer_than_the_context(engine: EngineClient) -> None:
    assert len(tokens_of(engine, TextPrompt("x" * 3 * tiny.CONTEXT))) == 3 * tiny.CONTEXT


def test_a_full_batch_does_not_keep_a_question_waiting(engine: EngineClient) -> None:
    rows = [engine.generate(f"row{i}", f"{i}", sampling=NO_END, max_tokens=400) for i in range(9)]
    assert tokens_of(engine, TextPrompt("abc"), add_special_tokens=False)
    assert not any(row.ended for row in rows)
    for i in range(9):
        engine.cancel(f"row{i}")


@pytest.mark.parametrize(
    ("question", "param"),
    [
        (Detokenize("q", [len(tiny.vocabulary())]), "tokens"),
        (Detokenize("q", [-1], True), "tokens"),
        (Tokenize("q", TokenPrompt([10**6])), "prompt"),
        (Tokenize("q", ChatPrompt(messages=[])), "messages"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    engine: EngineClient, question: Tokenize | Detokenize, param: str
) -> None:
    failed = engine.question(question)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.param) == ("invalid_request_error", param)


def test_a_question_that_fails_affects_no_other(start: Callable[..., EngineClient]) -> None:
    fake = start("-m", "tests.unit.providers.engines.fake_engine")
    fake.load("anything")
    failed = fake.question(Detokenize("bad", [1]))
    assert isinstance(failed, Failed)
    assert (failed.code, "secret" in failed.message) == ("internal_error", False)
    assert fake.question(Tokenize("good", TextPrompt("four"))) == Tokenized("good", [4])


def test_counting_is_bounded(engine: EngineClient) -> None:
    answer = engine.question(Tokenize("q", TextPrompt("x" * (MAX_COUNTED_CHARACTERS + 1)), None))
    assert isinstance(answer, Failed)
    assert answer.code == "invalid_request_error"
