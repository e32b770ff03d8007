"""The official SDK reads what this server writes: parsed answers, tools, streams, several choices, completions."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, pydantic_function_tool
from pydantic import BaseModel

from providers.chat.types import (
    Accepted,
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    JsonSchemaGrammar,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from tests.unit.server.fakes import FakeChat, prompt_text
from tests.unit.server.harness import make_app


class City(BaseModel):
    """A place where people live."""

    name: str
    country: str


class Weather(BaseModel):
    """Tell the weather."""

    city: str
    days: int


PARIS = '{"name": "Paris", "country": "France"}'
ARGUMENTS = '{"city": "Paris", "days": 2}'
QUESTION: list[Any] = [{"role": "user", "content": "Where?"}]


def finish(reason: FinishReason, index: int = 0) -> Finished:
    return Finished(reason, Usage(4, 3, 0, 1), prefill_seconds=0, decode_seconds=0, index=index)


async def agent(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """Answers in JSON where the request has a form, calls where it may, and otherwise repeats the last message."""
    prompt = request.prompt
    yield Accepted(4, 0)
    if isinstance(request.grammar, JsonSchemaGrammar):
        for letter in PARIS:
            yield TextDelta(letter)
        yield finish("stop")
    elif isinstance(prompt, ChatPrompt) and prompt.tools and prompt.messages[-1].role != "tool":
        yield ReasoningDelta("A call will do.")
        yield ToolCallDelta(0, id="call_1", name=prompt.tools[0].name)
        for letter in ARGUMENTS:
            yield ToolCallDelta(0, letter)
        yield finish("tool_calls")
    else:
        last = prompt.messages[-1].content if isinstance(prompt, ChatPrompt) else prompt_text(prompt)
        for index in range(request.n):
            logprobs = None if request.top_logprobs is None else [TokenLogprob("x", b"x", -0.5, [("x", b"x", -0.5)])]
            yield TextDelta(f"{last} {index}", index=index, logprobs=logprobs)
            yield finish("stop", index)


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    transport = httpx2.ASGITransport(make_app(FakeChat(script=agent)))  # type: ignore[arg-type]
    async with AsyncOpenAI(
        base_url="http://localhost/v1", api_key="-", max_retries=0, http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        yield client


async def test_an_answer_is_parsed_into_a_pydantic_model(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(model="m", messages=QUESTION, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", country="France")


async def test_a_call_is_parsed_run_and_answered(client: AsyncOpenAI) -> None:
    tools = [pydantic_function_tool(Weather)]
    first = await client.chat.completions.parse(model="m", messages=QUESTION, tools=tools)
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.model_extra == {"reasoning_content": "A call will do."}
    (call,) = choice.message.tool_calls or []
    assert call.function.parsed_arguments == Weather(city="Paris", days=2)

    history = [*QUESTION, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
    second = await client.chat.completions.create(model="m", messages=history, tools=tools)
    assert second.choices[0].message.content == "Sunny. 0"


async def test_the_arguments_of_a_call_are_streamed(client: AsyncOpenAI) -> None:
    tools = [pydantic_function_tool(Weather)]
    async with client.chat.completions.stream(model="m", messages=QUESTION, tools=tools) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_completion()

    pieces = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert "".join(piece.arguments_delta for piece in pieces) == ARGUMENTS
    (done,) = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert (done.name, json.loads(done.arguments)) == ("Weather", {"city": "Paris", "days": 2})
    (call,) = final.choices[0].message.tool_calls or []
    assert (call.id, call.function.parsed_arguments) == ("call_1", Weather(city="Paris", days=2))


async def test_a_parsed_answer_is_streamed(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="m", messages=QUESTION, response_format=City) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == City(name="Paris", country="France")


@pytest.mark.parametrize("stream", [True, False])
async def test_several_choices_have_their_own_log_probabilities(client: AsyncOpenAI, stream: bool) -> None:
    options: dict[str, Any] = {"model": "m", "messages": QUESTION, "n": 2, "logprobs": True, "top_logprobs": 1}
    if stream:
        async with client.chat.completions.stream(**options) as events:
            async for _ in events:
                pass
            answer: Any = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(**options)

    assert [choice.message.content for choice in answer.choices] == ["Where? 0", "Where? 1"]
    for choice in answer.choices:
        (token,) = choice.logprobs.content
        assert (token.token, token.bytes, token.logprob, token.top_logprobs[0].token) == ("x", [120], -0.5, "x")
    if not stream:
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 6)
        assert answer.usage.completion_tokens_details.reasoning_tokens == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_completions_of_several_prompts(client: AsyncOpenAI, stream: bool) -> None:
    answer = await client.completions.create(model="m", prompt=["a", "b"], n=2, echo=True, stream=stream)
    texts = dict.fromkeys(range(4), "")
    if stream:
        async for chunk in answer:  # type: ignore[union-attr]
            for choice in chunk.choices:
                texts[choice.index] += choice.text
    else:
        texts = {choice.index: choice.text for choice in answer.choices}  # type: ignore[union-attr]
    assert texts == {0: "aa 0", 1: "aa 1", 2: "bb 0", 3: "bb 1"}


async def test_a_refusal_is_the_error_the_sdk_has_for_it(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model="m", input="a", background=True)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "background")
