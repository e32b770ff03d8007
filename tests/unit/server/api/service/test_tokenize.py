"""Tokens of a text and a conversation, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from litestar import Litestar

from contracts.service.tokenize import MAX_TOKENS
from providers.chat.types import ChatMessage, ChatPrompt, Prompt, TextPrompt, Tool
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import WAIT, Exchange, ask, make_app, start

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def chat() -> FakeChat:
    return FakeChat()


@pytest.fixture
def app(chat: FakeChat) -> Litestar:
    return make_app(chat)


async def tokenize(app: Litestar, **body: Any) -> Exchange:
    return await ask(app, path="/v1/tokenize", json=body)


async def test_a_text_has_tokens_and_they_are_counted(app: Litestar, chat: FakeChat) -> None:
    answer = await tokenize(app, model="any", prompt="Hi!")
    assert answer.status == 200
    assert answer.json == {"count": 3, "max_model_len": 4096, "tokens": [72, 105, 33], "token_strs": None}
    assert chat.tokenized == [(TextPrompt("Hi!"), None)]
    assert chat.requests == []


async def test_tokens_are_written_out_on_request(app: Litestar) -> None:
    assert (await tokenize(app, prompt="Hi", return_token_strs=True)).json["token_strs"] == ["H", "i"]


async def test_special_tokens_are_left_to_the_client(app: Litestar, chat: FakeChat) -> None:
    await tokenize(app, prompt="", add_special_tokens=False)
    assert chat.tokenized == [(TextPrompt(""), False)]


async def test_a_conversation_is_tokenised_as_the_model_reads_it(app: Litestar, chat: FakeChat) -> None:
    answer = await tokenize(
        app,
        messages=MESSAGES,
        add_generation_prompt=False,
        chat_template_kwargs={"enable_thinking": False},
        tools=[{"type": "function", "function": {"name": "f"}}],
    )
    assert answer.json["count"] == 2
    kwargs = {"enable_thinking": False, "add_generation_prompt": False}
    assert chat.tokenized == [(ChatPrompt([ChatMessage("user", "Hi")], kwargs, [Tool("f")]), None)]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_request_error", "prompt"),
        ({"prompt": "a", "messages": MESSAGES}, "invalid_request_error", "messages"),
        ({"messages": []}, "invalid_request_error", "messages"),
        ({"prompt": "a", "tools": []}, "invalid_request_error", "tools"),
        ({"prompt": "a", "add_generation_prompt": True}, "invalid_request_error", "add_generation_prompt"),
        ({"messages": MESSAGES, "add_special_tokens": True}, "invalid_request_error", "add_special_tokens"),
        (
            {"messages": MESSAGES, "chat_template_kwargs": {"tokenize": False}},
            "unsupported_parameter",
            "chat_template_kwargs.tokenize",
        ),
        ({"prompt": 5}, "invalid_request_error", "prompt"),
    ],
)
async def test_an_invalid_tokenize_request_names_its_parameter(
    app: Litestar, body: dict[str, Any], code: str, param: str
) -> None:
    refused = await tokenize(app, **body)
    assert refused.status == 400
    assert (refused.error["code"], refused.error["param"]) == (code, param)


async def test_tokens_become_text_again(app: Litestar) -> None:
    assert (await ask(app, path="/v1/detokenize", json={"tokens": [72, 105]})).json == {"prompt": "Hi"}
    assert (await ask(app, path="/v1/detokenize", json={"tokens": []})).json == {"prompt": ""}


@pytest.mark.parametrize("tokens", [[1000], [-1], ["a"], 5, None])
async def test_an_invalid_token_is_refused(app: Litestar, tokens: Any) -> None:
    refused = await ask(app, path="/v1/detokenize", json={"tokens": tokens})
    assert refused.status == 400
    assert refused.error["param"].startswith("tokens")


async def test_of_several_models_one_must_be_named() -> None:
    app = make_app(FakeChat(name="one"), FakeChat(name="two"))
    assert (await tokenize(app, model="two", prompt="a")).status == 200
    assert (await tokenize(app, prompt="a")).error["code"] == "model_not_found"


async def test_a_list_beyond_its_bound_is_refused_before_its_items_are_read(app: Litestar, chat: FakeChat) -> None:
    answer = await ask(app, path="/v1/detokenize", json={"tokens": ["no id"] * (MAX_TOKENS + 1)})
    assert answer.status == 400
    assert answer.error["param"] == "tokens"
    assert str(MAX_TOKENS) in answer.error["message"]


class _SlowChat(FakeChat):
    """Answers no question about tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        return await self._hold()

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        return await self._hold()

    async def _hold(self) -> Any:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


QUESTIONS = [
    ("/v1/tokenize", {"prompt": "x"}),
    ("/v1/detokenize", {"tokens": [1]}),
    ("/v1/messages/count_tokens", {"model": "m", "messages": MESSAGES}),
    ("/v1/responses/input_tokens", {"input": "x"}),
    ("/v1/completions", {"prompt": [1], "echo": True}),
]


@pytest.mark.parametrize(("path", "body"), QUESTIONS)
async def test_a_question_ends_with_its_client(path: str, body: dict[str, Any]) -> None:
    slow = _SlowChat()
    exchange = start(make_app(slow), path=path, json=body)
    async with asyncio.timeout(WAIT):
        await slow.asked.wait()
        exchange.disconnect()
        await slow.cancelled.wait()


@pytest.mark.parametrize(("path", "body"), QUESTIONS)
async def test_a_question_ends_with_the_grace_period(path: str, body: dict[str, Any]) -> None:
    slow = _SlowChat()
    app = make_app(slow)
    exchange = start(app, path=path, json=body)
    async with asyncio.timeout(WAIT):
        await slow.asked.wait()
        app.state.drain.expire()
        await slow.cancelled.wait()
        assert (await exchange.finished()).status == 503
