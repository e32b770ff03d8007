"""The Responses API through the official SDK: the embedded model where the text matters, otherwise the echo model."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel, Field

from tests.live.client import PATIENCE, eventually, queue_stats
from tests.live.harness import STOP_SECONDS, LiveServer

Launch = Callable[..., LiveServer]

CODEX = Path(__file__).parents[1] / "unit" / "server" / "api" / "responses" / "codex"
QUESTION = "What is the capital of France?"
STORY = "Tell me a story about a dog and a cat."
SLOWLY = {"chat_template_kwargs": {"echo_delay": 0.2}}
"""Seconds before each word of the echo model."""

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Place(BaseModel):
    """Bounded, for a small model at a high temperature knows no end."""

    capital: str = Field(max_length=20)
    continent: Literal["Africa", "America", "Asia", "Europe", "Oceania"]


def client_of(server: LiveServer) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE)


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[OpenAI]:
    with client_of(server) as client:
        yield client


@pytest.fixture(scope="module")
def echo(echo_server: LiveServer) -> Generator[OpenAI]:
    with client_of(echo_server) as client:
        yield client


def test_a_second_request_continues_the_conversation(client: OpenAI) -> None:
    first = client.responses.create(model="any", input=QUESTION, temperature=0, max_output_tokens=24)
    assert "Paris" in first.output_text
    assert first.status == "completed"

    second = client.responses.create(
        model="any", input="And of Italy?", previous_response_id=first.id, temperature=0, max_output_tokens=24
    )
    assert first.usage is not None
    assert second.usage is not None
    # The prompt is the whole conversation, and the part that was computed before came from the prefix cache.
    assert second.usage.input_tokens > first.usage.total_tokens
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens
    counted = client.responses.input_tokens.count(model="any", input="And of Italy?", previous_response_id=first.id)
    assert counted.input_tokens == second.usage.input_tokens


def test_a_stream_gives_the_same_answer(client: OpenAI) -> None:
    with client.responses.stream(model="any", input=QUESTION, temperature=0, max_output_tokens=24) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert "".join(deltas) == final.output_text
    assert "Paris" in final.output_text
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_a_stream_comes_in_pieces(client: OpenAI) -> None:
    # The answer takes two seconds: on a busy machine, pieces that are ready at the same time arrive as one.
    with client.responses.stream(model="any", input=STORY, temperature=0, max_output_tokens=48) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert len(deltas) > 3


def test_a_truncated_response_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model="any", input="Tell a long story.", max_output_tokens=4)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert response.usage.output_tokens == 4


def test_an_answer_fits_its_pydantic_model_at_a_high_temperature(client: OpenAI) -> None:
    response = client.responses.parse(
        model="any", input="Describe France as JSON.", text_format=Place, temperature=1.2, max_output_tokens=120
    )
    assert response.status == "completed"
    assert isinstance(response.output_parsed, Place)


def test_a_required_function_call_matches_its_schema(client: OpenAI) -> None:
    arguments = ""
    with client.responses.stream(
        model="any",
        input="What is the weather in Paris?",
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        max_output_tokens=120,
    ) as stream:
        for event in stream:
            if event.type == "response.function_call_arguments.delta":
                arguments += event.delta
        final = stream.get_final_response()

    (call,) = (item for item in final.output if item.type == "function_call")
    assert call.arguments == arguments
    found = json.loads(arguments)
    assert set(found) == {"city", "unit"}
    assert found["unit"] in ("celsius", "fahrenheit")

    answer = client.responses.create(
        model="any",
        previous_response_id=final.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees, sunny"}],
        tools=[WEATHER],
        tool_choice="none",
        max_output_tokens=16,
    )
    assert answer.output_text


def test_a_file_in_a_turn_is_read_and_one_of_this_machine_is_not_fetched(echo: OpenAI, echo_server: LiveServer) -> None:
    def asked(**source: str) -> ResponseInputParam:
        return [{"role": "user", "content": [{"type": "input_file", **source}]}]

    answer = echo.responses.create(model="any", input=asked(file_data="data:,Bees%20dance.", filename="bees.txt"))
    assert "Bees dance." in answer.output_text
    for host in ("localhost", "2130706433", "[::ffff:127.0.0.1]"):
        url = f"http://{host}:{echo_server.url.rpartition(':')[2]}/health"
        with pytest.raises(openai.BadRequestError, match="not at a public address"):
            echo.responses.create(model="any", input=asked(file_url=url))


def test_a_disconnect_leaves_a_cancelled_response(echo: OpenAI, echo_server: LiveServer) -> None:
    with echo.responses.create(model="any", input="one " * 50, stream=True, extra_body=SLOWLY) as stream:
        created = next(iter(stream))
        assert created.type == "response.created"
        for event in stream:
            if event.type == "response.output_text.delta":
                break

    eventually(lambda: bool(queue_stats(echo_server.url)["active"] == 0))
    stored = echo.responses.retrieve(created.response.id)
    assert stored.status == "cancelled"
    assert 0 < stored.output_text.count("one") < 50


def test_with_a_file_as_store_a_conversation_survives_a_restart(launch: Launch, tmp_path: Path) -> None:
    options = ("--model-type", "echo", "--response-store", str(tmp_path / "responses.db"))
    first = launch(*options)
    with client_of(first) as client:
        opening = client.responses.create(model="any", input="Remember me.")
    assert first.stop() == 0

    second = launch(*options)
    with client_of(second) as client:
        answer = client.responses.create(model="any", input="Who am I?", previous_response_id=opening.id)
        items = [*client.responses.input_items.list(answer.id, order="asc")]
        assert [item.content[0].text for item in items] == ["Remember me.", "Remember me.", "Who am I?"]  # type: ignore[union-attr]
        client.responses.delete(opening.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="any", input="Still there?", previous_response_id=answer.id)


def test_a_response_that_a_shutdown_interrupts_fails_and_is_stored(launch: Launch, tmp_path: Path) -> None:
    options = ("--model-type", "echo", "--response-store", str(tmp_path / "responses.db"), "--grace-period", "0.2")
    server = launch(*options)
    with (
        client_of(server) as client,
        client.responses.create(model="any", input="one " * 500, stream=True, extra_body=SLOWLY) as stream,
    ):
        for event in stream:
            if event.type == "response.output_text.delta":
                server.process.send_signal(signal.SIGTERM)
                break
        *_, last = stream
    assert last.type == "response.failed"
    assert server.process.wait(STOP_SECONDS) == 0

    again = launch(*options)
    with client_of(again) as client:
        assert client.responses.retrieve(last.response.id).status == "failed"


@pytest.mark.parametrize("name", ["first_turn", "third_turn"])
def test_a_turn_of_codex_is_answered(client: OpenAI, name: str) -> None:
    body = json.loads((CODEX / f"{name}.json").read_bytes()) | {"max_output_tokens": 16, "temperature": 0}
    unknown = {"client_metadata": body.pop("client_metadata")}
    with client.responses.create(**body, extra_body=unknown) as events:
        found = [*events]
    assert [event.type for event in found[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert [event.sequence_number for event in found] == [*range(len(found))]
    assert found[-1].type in ("response.completed", "response.incomplete")
    assert found[-1].response.output


PICK = '(red|blue)"\\n[0-9]{2}'


@pytest.mark.parametrize(
    ("syntax", "definition"),
    [("regex", PICK), ("lark", 'start: ("red" | "blue") "\\"" LF /[0-9]{2}/\n%import common.LF')],
)
def test_a_grammar_holds_the_input_of_a_custom_tool(client: OpenAI, syntax: str, definition: str) -> None:
    grammar = {"type": "grammar", "syntax": syntax, "definition": definition}
    response = client.responses.create(
        model="any",
        input="Pick a colour and a number.",
        temperature=0,
        max_output_tokens=60,
        tools=[{"type": "custom", "name": "pick", "description": "Pick both.", "format": grammar}],
        tool_choice={"type": "custom", "name": "pick"},
        parallel_tool_calls=False,
    )
    (call,) = response.output
    assert call.type == "custom_tool_call"
    assert re.fullmatch(PICK, call.input)
