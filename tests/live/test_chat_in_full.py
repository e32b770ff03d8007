"""Tools, constrained output, log-probabilities and several answers of the embedded model, through the Python SDK."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator
from typing import Any, Literal

import pytest
from openai import BadRequestError, OpenAI, pydantic_function_tool
from pydantic import BaseModel, Field

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer


class City(BaseModel):
    """A place where people live."""

    name: str = Field(max_length=20)
    size: Literal["small", "large"]


class GetWeather(BaseModel):
    """Tell the weather of a city."""

    city: Literal["Paris", "London"]
    unit: Literal["celsius", "fahrenheit"]


QUESTION: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS = [pydantic_function_tool(GetWeather)]
NAMED: Any = {"type": "function", "function": {"name": "GetWeather"}}


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_the_model_makes_a_required_call_and_uses_its_result(client: OpenAI, choice: Any) -> None:
    first = client.chat.completions.parse(
        model="any",
        messages=QUESTION,
        tools=TOOLS,
        tool_choice=choice,
        parallel_tool_calls=False,
        temperature=1.5,
        max_tokens=100,
    )
    (answer,) = first.choices
    (call,) = answer.message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, GetWeather)
    assert not answer.message.content

    history = [*QUESTION, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "It is raining."}]
    second = client.chat.completions.create(
        model="any", messages=history, tools=TOOLS, tool_choice="none", temperature=0, max_tokens=30
    )
    assert second.choices[0].message.content
    assert not second.choices[0].message.tool_calls


def test_the_arguments_of_a_call_are_streamed(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="any",
        messages=QUESTION,
        tools=TOOLS,
        tool_choice=NAMED,
        parallel_tool_calls=False,
        temperature=1.5,
        max_tokens=100,
    ) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion()

    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.name == "GetWeather"
    assert len(pieces) > 1
    GetWeather.model_validate_json("".join(pieces))


def test_an_answer_fits_its_pydantic_model_at_a_high_temperature(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="any", messages=QUESTION, response_format=City, temperature=1.5, max_tokens=100
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_a_truncated_constrained_answer_has_the_finish_reason_length(client: OpenAI) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 100}
    answer = client.chat.completions.create(
        model="any", messages=QUESTION, max_tokens=5, extra_body={"guided_json": schema}
    )
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("guide", "pattern"),
    [
        ({"guided_regex": "[a-c]{3}-[0-9]{2}"}, "[a-c]{3}-[0-9]{2}"),
        ({"guided_choice": ["yes", "perhaps"]}, "yes|perhaps"),
        ({"guided_grammar": 'start: "<" WORD ">"\nWORD: /[a-z]{1,5}/'}, "<[a-z]{1,5}>"),
    ],
)
def test_a_guided_answer_matches_its_guide(client: OpenAI, guide: dict[str, Any], pattern: str) -> None:
    answer = client.chat.completions.create(
        model="any", messages=QUESTION, temperature=1.5, max_tokens=30, extra_body=guide
    )
    assert answer.choices[0].finish_reason == "stop"
    assert re.fullmatch(pattern, answer.choices[0].message.content or "")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": {"type": "number", "multipleOf": -1}},
                }
            },
            "response_format.json_schema.schema.multipleOf",
        ),
        ({"guided_regex": "("}, "guided_regex"),
        ({"guided_json": {"$ref": "#/$defs/none"}}, "guided_json.$ref"),
    ],
)
def test_an_unsupported_constraint_is_refused_by_its_keyword(
    client: OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="any", messages=QUESTION, extra_body=fields)
    assert caught.value.param == param


def test_log_probabilities_belong_to_the_tokens_of_the_content(client: OpenAI) -> None:
    (choice,) = client.chat.completions.create(
        model="any", messages=QUESTION, temperature=0, max_tokens=5, logprobs=True, top_logprobs=3
    ).choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert b"".join(bytes(token.bytes or []) for token in tokens).decode() == choice.message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == max(other.logprob for other in token.top_logprobs)
        assert sum(math.exp(other.logprob) for other in token.top_logprobs) <= 1.001


def test_several_answers_share_a_prompt_and_differ(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="any", messages=QUESTION, n=3, temperature=1.5, max_tokens=10, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) > 1
    alone = client.chat.completions.create(model="any", messages=QUESTION, max_tokens=1)
    assert answer.usage is not None
    assert alone.usage is not None
    assert answer.usage.prompt_tokens == alone.usage.prompt_tokens
    again = client.chat.completions.create(model="any", messages=QUESTION, n=3, temperature=1.5, max_tokens=10, seed=5)
    assert [choice.message.content for choice in again.choices] == texts
    assert again.system_fingerprint == answer.system_fingerprint


def test_a_stream_has_the_requested_answers_and_each_ends_once(client: OpenAI) -> None:
    with client.chat.completions.create(
        model="any", messages=QUESTION, n=3, max_tokens=5, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    ends = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1, 2]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= 15


def test_more_answers_than_the_model_s_concurrency_are_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="any", messages=QUESTION, n=100)
    assert caught.value.param == "n"


def test_with_tools_and_a_response_format_an_answer_without_a_call_has_that_format(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="any",
        messages=QUESTION,
        tools=TOOLS,
        tool_choice="none",
        response_format={"type": "json_object"},
        max_tokens=60,
        temperature=0,
    )
    (choice,) = answer.choices
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content or ""), dict)
    else:
        assert (choice.message.content or "").lstrip().startswith("{")
