"""Prompts that end inside the assistant's last turn, which the answer continues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load

from providers.chat.types import ChatMessage, ChatPrompt, JsonObjectGrammar
from providers.engines.language.prompts.builder import BuiltPrompt, PromptBuilder
from providers.engines.language.prompts.tools import ToolPrompter
from providers.engines.output.markup import make_reasoning_format, make_tool_format
from providers.errors import InvalidRequest
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient

TRIMS = (
    "{% for message in messages %}{{ '[' + message['role'] + ']' + message['content'] | trim + '[end]' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)
KEEPS = TRIMS.replace(" | trim", "")
DROPS = KEEPS.replace("message['content']", "message['content'].split('</think>')[-1]")
Build = Callable[..., tuple[BuiltPrompt, str]]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    def make(template: str | None, *turns: tuple[str, str]) -> tuple[BuiltPrompt, str]:
        folder: Path = tmp_path_factory.mktemp("tokenizer")
        tokenizer: Any = load(tiny.write_folder(folder, template=template))
        prompter = ToolPrompter(tokenizer, make_tool_format("auto", tokenizer))
        think = make_reasoning_format("think", tokenizer)
        builder = PromptBuilder(tokenizer, prompter, think, vocabulary=300, limit=4096, trimmable=True)
        messages = [ChatMessage(role=role, content=content) for role, content in turns]
        built = builder.build(ChatPrompt(messages, continue_final=True))
        return built, str(tokenizer.decode(built.tokens))

    return make


@pytest.mark.parametrize(
    ("template", "begun", "expected"),
    [
        (KEEPS, '{"city": "', '[user]Hi[end][assistant]{"city": "'),
        (KEEPS, "One, two, ", "[user]Hi[end][assistant]One, two, "),
        (TRIMS, "One, two, ", "[user]Hi[end][assistant]One, two,"),
        (KEEPS, "", "[user]Hi[end][assistant]"),
        (DROPS, "<think>hm</think>Yes", "[user]Hi[end][assistant]<think>hm</think>Yes"),
        (None, "One", "user: Hi\n\nassistant: One"),
    ],
)
def test_the_prompt_ends_with_the_text_of_the_turn(
    build: Build, template: str | None, begun: str, expected: str
) -> None:
    assert build(template, ("user", "Hi"), ("assistant", begun))[1] == expected


def test_a_turn_without_any_before_it_is_continued(build: Build) -> None:
    assert build(KEEPS, ("assistant", "One"))[1] == "[assistant]One"


def test_a_thought_that_the_turn_left_open_is_continued(build: Build) -> None:
    for begun, opened in (("<think>hm", True), ("<think>hm</think>Yes", False), ("Yes", False)):
        assert build(KEEPS, ("user", "Hi"), ("assistant", begun))[0].opened is opened


def test_only_a_turn_of_the_assistant_is_continued(build: Build) -> None:
    with pytest.raises(InvalidRequest, match="only a last message of the assistant"):
        build(KEEPS, ("user", "Hi"))


def test_an_answer_continues_the_text(engine: EngineClient) -> None:
    messages = [ChatMessage("user", "x"), ChatMessage("assistant", "hello w")]
    whole = engine.ask("continued", ChatPrompt(messages, continue_final=True), max_tokens=4)
    assert whole.accepted is not None
    assert whole.finished is not None


def test_a_form_is_refused(engine: EngineClient) -> None:
    messages = [ChatMessage("user", "x"), ChatMessage("assistant", "{")]
    prompt = ChatPrompt(messages, continue_final=True)
    failed = engine.ask("form", prompt, grammar=JsonObjectGrammar(), max_tokens=4).failed
    assert failed is not None
    assert (failed.code, failed.param) == ("unsupported_parameter", "response_format")
