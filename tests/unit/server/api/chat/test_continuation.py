"""Requests that continue the assistant's last turn, as vLLM, DeepSeek and Mistral spell it."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import ChatPrompt
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app

USER = {"role": "user", "content": "Give JSON with a city."}
BEGUN = {"role": "assistant", "content": '{"city": "'}


async def sent(*messages: dict[str, Any], **fields: Any) -> tuple[Exchange, FakeChat]:
    chat = FakeChat()
    return await ask(make_app(chat), json={"model": "any", "messages": [*messages], **fields}), chat


@pytest.mark.parametrize(
    ("last", "fields", "expected"),
    [
        ({}, {}, False),
        ({}, {"continue_final_message": True}, True),
        ({}, {"continue_final_message": True, "chat_template_kwargs": {"x": 1}}, True),
        ({}, {"continue_final_message": False}, False),
        ({}, {"chat_template_kwargs": {"continue_final_message": True, "add_generation_prompt": False}}, True),
        ({}, {"chat_template_kwargs": {"continue_final_message": False}}, False),
        ({"prefix": True}, {}, True),
        ({"prefix": False}, {}, False),
        ({"prefix": True}, {"continue_final_message": False}, True),
    ],
)
async def test_every_spelling_continues_the_last_turn(
    last: dict[str, Any], fields: dict[str, Any], expected: bool
) -> None:
    answer, chat = await sent(USER, {**BEGUN, **last}, **fields)
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    assert isinstance(request.prompt, ChatPrompt)
    assert request.prompt.continue_final is expected
    assert not {"continue_final_message", "add_generation_prompt"} & set(request.prompt.template_kwargs)


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "fields", "param"),
    [
        ([USER], {"continue_final_message": True}, "continue_final_message"),
        (
            [USER],
            {"chat_template_kwargs": {"continue_final_message": True}},
            "chat_template_kwargs.continue_final_message",
        ),
        (
            [USER],
            {"chat_template_kwargs": {"continue_final_message": "1"}},
            "chat_template_kwargs.continue_final_message",
        ),
        ([{**USER, "prefix": True}], {}, "messages[0].prefix"),
        ([USER, {**BEGUN, "prefix": True}, USER], {}, "messages[1].prefix"),
        ([USER, {**BEGUN, "tool_calls": [CALL]}], {"continue_final_message": True}, "continue_final_message"),
    ],
)
async def test_only_the_assistant_s_last_turn_can_be_continued(
    messages: list[dict[str, Any]], fields: dict[str, Any], param: str
) -> None:
    answer, _ = await sent(*messages, **fields)
    assert (answer.status, answer.error["param"]) == (400, param)
