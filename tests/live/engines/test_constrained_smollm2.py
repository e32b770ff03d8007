"""Tools, grammars, several answers and log-probabilities on real weights: SmolLM2-135M-Instruct."""

from __future__ import annotations

import json
import math

import pytest

from providers.chat.types import ChatMessage, ChatPrompt, JsonSchemaGrammar, SamplingParams, Tool, ToolChoice
from tests.unit.providers.engines.client import GREEDY, EngineClient, chat

# A contended CPU decodes one or two tokens per second.
pytestmark = pytest.mark.timeout(600)

WEATHER = Tool(
    name="get_weather",
    description="The weather of a city",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 20},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city", "unit", "days"],
        "additionalProperties": False,
    },
)
WILD = SamplingParams(temperature=1.5)


def test_required_calls_have_valid_arguments_at_a_high_temperature(engine: EngineClient) -> None:
    prompt = ChatPrompt(
        messages=[ChatMessage(role="user", content="What is the weather in Paris this week?")],
        tools=[WEATHER],
        tool_choice=ToolChoice("required", parallel=False),
    )
    answer = engine.ask("calls", prompt, sampling=WILD, n=4, max_tokens=120)
    for index, finished in answer.finishes.items():
        assert finished.finish_reason == "tool_calls"
        called = [delta for delta in answer.call_deltas if delta.index == index]
        assert called[0].name == "get_weather"
        arguments = json.loads("".join(delta.arguments for delta in called))
        assert set(arguments) == {"city", "unit", "days"}
        assert isinstance(arguments["city"], str)
        assert arguments["unit"] in ("celsius", "fahrenheit")
        assert 1 <= arguments["days"] <= 7
        assert answer.text_of(index) == ""


def test_answers_match_their_schema_at_a_high_temperature(engine: EngineClient) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 16},
            "legs": {"type": "integer", "minimum": 0, "maximum": 8},
            "colours": {"type": "array", "items": {"enum": ["red", "brown", "grey"]}, "maxItems": 3},
        },
        "required": ["name", "legs", "colours"],
        "additionalProperties": False,
    }
    prompt = chat(("user", "Describe a fox as JSON with name, legs and colours."))
    answer = engine.ask("json", prompt, sampling=WILD, n=4, max_tokens=120, grammar=JsonSchemaGrammar(schema))
    for index, finished in answer.finishes.items():
        assert finished.finish_reason == "stop"
        held = json.loads(answer.text_of(index))
        assert set(held) == {"name", "legs", "colours"}
        assert 0 <= held["legs"] <= 8
        assert set(held["colours"]) <= {"red", "brown", "grey"}


def test_three_answers_to_one_prompt_equal_those_of_their_seeds(engine: EngineClient) -> None:
    prompt = chat(("user", "Invent a name for a dog. " * 4))
    several = engine.ask("three", prompt, sampling=SamplingParams(temperature=1.0, seed=20), n=3, max_tokens=10)
    assert several.accepted is not None
    assert [finished.usage.prompt_tokens for finished in several.finishes.values()] == [
        several.accepted.prompt_tokens
    ] * 3
    third = engine.ask("third", prompt, sampling=SamplingParams(temperature=1.0, seed=22), max_tokens=10)
    assert several.text_of(2) == third.text
    assert third.accepted is not None
    assert third.accepted.cached_tokens == third.accepted.prompt_tokens - 1


def test_log_probabilities_are_valid_and_greedy_sampling_takes_the_likeliest_token(engine: EngineClient) -> None:
    prompt = chat(("user", "What is the capital of France?"))
    answer = engine.ask("logprobs", prompt, sampling=GREEDY, max_tokens=12, top_logprobs=20)
    assert b"".join(likely.raw for likely in answer.logprobs).decode() == answer.text
    for likely in answer.logprobs:
        assert likely.logprob == pytest.approx(likely.top[0][2])
        assert likely.token == likely.top[0][0]
        assert 0.1 < sum(math.exp(value) for _, _, value in likely.top) <= 1.001
    paris = next(likely for likely in answer.logprobs if "Paris" in likely.token)
    assert math.exp(paris.logprob) > 0.3
