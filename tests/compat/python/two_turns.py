"""A conversation of two turns with a forced tool, streamed and not, by one of four Python clients.

A small model can hold it: the grammar holds the call, and the second turn may answer anything. The live tests run the
cases of the clients that they have. `make compat` runs the file in an environment of its own, as
`two_turns.py URL MODEL PACKAGE`, which prints a JSON line per case; so it imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

CITIES = ["Paris", "Oslo"]
NAME = "get_weather"
QUESTION = "What is the weather in Paris?"
RESULT = "Rain, 12 degrees."
CALL_TOKENS, TEXT_TOKENS = 64, 16
"""Bounds of the two answers: the grammar ends the call, and a small model may not end its text."""
DESCRIPTION = "The weather in a city now."
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": CITIES}},
    "required": ["city"],
    "additionalProperties": False,
}
Case = Callable[[], None]


def held(name: str, arguments: dict[str, Any]) -> None:
    assert name == NAME, name
    assert arguments["city"] in CITIES, arguments


def openai_cases(url: str, model: str) -> dict[str, Case]:
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)

    def chat(ask: Callable[..., Any]) -> None:
        function = {"name": NAME, "description": DESCRIPTION, "parameters": SCHEMA}
        base: Any = {"model": model, "temperature": 0, "max_tokens": CALL_TOKENS}
        base["tools"] = [{"type": "function", "function": function}]
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        called = ask(**base, messages=messages, tool_choice={"type": "function", "function": {"name": NAME}})
        (call,) = called.choices[0].message.tool_calls
        held(call.function.name, json.loads(call.function.arguments))
        messages.append(called.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"}))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": RESULT})
        last = ask(**{**base, "max_tokens": TEXT_TOKENS}, messages=messages, tool_choice="none").choices[0]
        assert last.message.content.strip(), last
        assert last.finish_reason in ("stop", "length"), last

    def streamed_chat(**body: Any) -> Any:
        with client.chat.completions.stream(**body) as stream:
            stream.until_done()
            return stream.get_final_completion()

    def responses(ask: Callable[..., Any]) -> None:
        base: Any = {"model": model, "temperature": 0, "max_output_tokens": CALL_TOKENS}
        base["tools"] = [{"type": "function", "name": NAME, "description": DESCRIPTION, "parameters": SCHEMA}]
        base["tools"][0]["strict"] = True
        turns: list[Any] = [{"role": "user", "content": QUESTION}]
        first = ask(**base, input=turns, tool_choice={"type": "function", "name": NAME})
        (call,) = first.output
        held(call.name, json.loads(call.arguments))
        turns.append(call.model_dump(exclude_none=True, exclude={"parsed_arguments"}))
        turns.append({"type": "function_call_output", "call_id": call.call_id, "output": RESULT})
        last = ask(**{**base, "max_output_tokens": TEXT_TOKENS}, input=turns, tool_choice="none")
        assert last.output_text.strip(), last
        assert last.status in ("completed", "incomplete"), last

    def streamed_response(**body: Any) -> Any:
        with client.responses.stream(**body) as stream:
            stream.until_done()
            return stream.get_final_response()

    return {
        "chat": lambda: chat(client.chat.completions.create),
        "chat, streamed": lambda: chat(streamed_chat),
        "responses": lambda: responses(client.responses.create),
        "responses, streamed": lambda: responses(streamed_response),
    }


def anthropic_cases(url: str, model: str) -> dict[str, Case]:
    from anthropic import Anthropic

    client = Anthropic(base_url=url, api_key="unused", max_retries=0)

    def messages(ask: Callable[..., Any]) -> None:
        base: Any = {"model": model, "max_tokens": CALL_TOKENS, "extra_body": {"temperature": 0}}
        base["tools"] = [{"name": NAME, "description": DESCRIPTION, "input_schema": SCHEMA}]
        turns: list[Any] = [{"role": "user", "content": QUESTION}]
        called = ask(**base, messages=turns, tool_choice={"type": "tool", "name": NAME})
        assert called.stop_reason == "tool_use", called
        (call,) = called.content
        held(call.name, call.input)
        turns.append({"role": "assistant", "content": called.content})
        turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT}]})
        last = ask(**{**base, "max_tokens": TEXT_TOKENS}, messages=turns, tool_choice={"type": "none"})
        assert last.content[0].text.strip(), last
        assert last.stop_reason in ("end_turn", "max_tokens"), last

    def streamed(**body: Any) -> Any:
        with client.messages.stream(**body) as stream:
            return stream.get_final_message()

    return {"messages": lambda: messages(client.messages.create), "messages, streamed": lambda: messages(streamed)}


def langchain_cases(chat_model: Any, no_tool: Any) -> dict[str, Case]:
    """Both ways of LangChain to ask `chat_model`. `no_tool` is the class's own spelling of that choice."""
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import StructuredTool

    weather = StructuredTool(name=NAME, description=DESCRIPTION, args_schema=SCHEMA, func=lambda city: RESULT)

    def conversation(streamed: bool) -> None:
        def ask(turns: list[Any], choice: Any, max_tokens: int) -> Any:
            bound = chat_model.bind_tools([weather], tool_choice=choice, max_tokens=max_tokens)
            if not streamed:
                return bound.invoke(turns)
            first, *rest = bound.stream(turns)
            for chunk in rest:
                first += chunk
            return first

        turns: list[Any] = [HumanMessage(QUESTION)]
        called = ask(turns, NAME, CALL_TOKENS)
        (call,) = called.tool_calls
        held(call["name"], call["args"])
        turns += [called, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
        last = ask(turns, no_tool, TEXT_TOKENS)
        assert last.text.strip(), last
        assert last.usage_metadata["output_tokens"] > 0, last

    return {"invoke": lambda: conversation(False), "stream": lambda: conversation(True)}


def langchain_openai_cases(url: str, model: str) -> dict[str, Case]:
    from langchain_openai import ChatOpenAI

    common: Any = {"model": model, "base_url": f"{url}/v1", "api_key": "unused", "temperature": 0}
    common |= {"max_retries": 0, "stream_usage": True}
    chat = langchain_cases(ChatOpenAI(**common), "none")
    responses = langchain_cases(ChatOpenAI(**common, use_responses_api=True), "none")
    return {
        **{f"chat, {name}": case for name, case in chat.items()},
        **{f"responses, {name}": case for name, case in responses.items()},
    }


def langchain_anthropic_cases(url: str, model: str) -> dict[str, Case]:
    from langchain_anthropic import ChatAnthropic

    common: Any = {"model": model, "base_url": url, "api_key": "unused", "temperature": 0, "max_tokens": CALL_TOKENS}
    return langchain_cases(ChatAnthropic(**common, max_retries=0), {"type": "none"})


PACKAGES = {
    "openai": openai_cases,
    "anthropic": anthropic_cases,
    "langchain-openai": langchain_openai_cases,
    "langchain-anthropic": langchain_anthropic_cases,
}


def main(url: str, model: str, package: str) -> None:
    for name, case in PACKAGES[package](url, model).items():
        detail = ""
        try:
            case()
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"[:400]
        print(json.dumps({"case": name, "passed": not detail, "detail": detail}))


if __name__ == "__main__":
    main(*sys.argv[1:])
