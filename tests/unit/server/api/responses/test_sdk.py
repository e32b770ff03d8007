"""Responses through the official SDK, against the application itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from providers.chat.types import Accepted, GenerationEvent, GenerationRequest, ReasoningDelta, TextDelta
from tests.unit.server.api.responses.scripts import AGENT, script
from tests.unit.server.fakes import FINISHED, FakeChat
from tests.unit.server.harness import make_app


class Answer(BaseModel):
    city: str


class GetWeather(BaseModel):
    """Look out of the window."""

    city: str


async def agent(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """Calls the weather function, repeats its output, and otherwise repeats the question as JSON."""
    last = request.prompt.messages[-1]  # type: ignore[union-attr]
    tools = request.prompt.tools  # type: ignore[union-attr]
    if last.role == "tool":
        events: list[GenerationEvent] = [TextDelta(f"It is {last.content}.")]
    elif tools:
        events = [*AGENT]
    elif request.grammar is not None:
        events = [TextDelta('{"city": '), TextDelta('"Paris"}')]
    else:
        events = [ReasoningDelta("Hm."), TextDelta("You said "), TextDelta(last.content or "")]
    yield Accepted(5, 3)
    for event in events:
        yield event
    yield FINISHED


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    transport = httpx2.ASGITransport(make_app(FakeChat(script=agent)))  # type: ignore[arg-type]
    async with AsyncOpenAI(
        base_url="http://localhost/v1", api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        yield client


TOOL: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


async def test_a_response_is_created(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model="m", input="hello")

    assert response.output_text == "You said hello"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == 7


async def test_a_stream_gives_the_same_answer(client: AsyncOpenAI) -> None:
    deltas = ""
    async with client.responses.stream(model="m", input="hello") as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                deltas += event.delta
                assert event.snapshot == deltas
        final = await stream.get_final_response()

    assert final.output_text == deltas == "You said hello"
    raw = await client.responses.create(model="m", input="hello", stream=True)
    assert [event.type async for event in raw][-1] == "response.completed"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_parsed_into_a_pydantic_model(client: AsyncOpenAI, stream: bool) -> None:
    if stream:
        async with client.responses.stream(model="m", input="Where?", text_format=Answer) as events:
            response = await events.get_final_response()
    else:
        response = await client.responses.parse(model="m", input="Where?", text_format=Answer)

    assert response.output_parsed == Answer(city="Paris")


async def test_the_arguments_of_a_function_are_streamed_and_parsed(client: AsyncOpenAI) -> None:
    tool = pydantic_function_tool(GetWeather, name="get_weather")["function"]
    arguments = ""
    async with client.responses.stream(
        model="m",
        input="Weather?",
        tools=[{"type": "function", **tool, "parameters": tool.get("parameters") or {}}],  # type: ignore[list-item, typeddict-item]
    ) as stream:
        async for event in stream:
            if event.type == "response.function_call_arguments.delta":
                arguments += event.delta
        final = await stream.get_final_response()

    call = final.output[-1]
    assert call.type == "function_call"
    assert call.arguments == arguments == '{"city": "Paris"}'
    assert call.parsed_arguments == {"city": "Paris"}


async def test_a_function_is_called_and_its_output_is_used(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="m", input="Weather?", tools=[TOOL])
    call = first.output[-1]
    assert call.type == "function_call"

    second = await client.responses.create(
        model="m",
        previous_response_id=first.id,
        tools=[TOOL],
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
    )

    assert second.output_text == "It is sunny."
    assert second.previous_response_id == first.id


async def test_a_client_may_send_its_own_conversation_back(client: AsyncOpenAI) -> None:
    history: list[object] = [{"role": "user", "content": "Weather?"}]
    first = await client.responses.create(model="m", input=history, tools=[TOOL], store=False)  # type: ignore[arg-type]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history.append({"type": "function_call_output", "call_id": "call_1", "output": "rainy"})

    second = await client.responses.create(model="m", input=history, tools=[TOOL], store=False)  # type: ignore[arg-type]

    assert second.output_text == "It is rainy."


async def test_stored_responses_are_fetched_listed_and_deleted(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="m", input="one")
    second = await client.responses.create(model="m", input="two", previous_response_id=first.id)

    assert await client.responses.retrieve(second.id) == second
    items = [item async for item in client.responses.input_items.list(second.id, limit=1, order="asc")]
    assert [item.type for item in items] == ["message", "reasoning", "message", "message"]

    await client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError) as refused:
        await client.responses.create(model="m", input="three", previous_response_id=second.id)
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        await client.responses.cancel(second.id)


async def test_input_tokens_are_counted(client: AsyncOpenAI) -> None:
    short, long = [await client.responses.input_tokens.count(model="m", input=text) for text in ("a", "a b c d")]
    assert 0 < short.input_tokens < long.input_tokens


async def test_a_stream_that_fails_has_no_final_response() -> None:
    async def fail(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        yield TextDelta("Hel")
        raise ZeroDivisionError

    transport = httpx2.ASGITransport(make_app(FakeChat(script=fail)))  # type: ignore[arg-type]
    http = httpx2.AsyncClient(transport=transport)
    async with AsyncOpenAI(base_url="http://localhost/v1", api_key="k", http_client=http) as client:
        raw = await client.responses.create(model="m", input="x", stream=True)
        *_, last = [event async for event in raw]
        assert last.type == "response.failed"
        async with client.responses.stream(model="m", input="x") as stream:
            with pytest.raises(RuntimeError, match="completed"):
                await stream.get_final_response()


async def test_an_incomplete_response_is_marked() -> None:
    app = make_app(FakeChat(script=script(TextDelta("One"), reason="length")))
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))  # type: ignore[arg-type]
    async with AsyncOpenAI(base_url="http://localhost/v1", api_key="k", http_client=http) as client:
        raw = await client.responses.create(model="m", input="x", stream=True)
        *_, last = [event async for event in raw]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"
