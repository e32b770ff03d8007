"""The prompt and answers of a chat in the form that the GenAI conventions define for spans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

import otel
from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    Content,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ImagePart,
    ReasoningDelta,
    TextDelta,
    TextPrompt,
    ToolCallDelta,
    content_text,
)

__all__ = ["ChatContent"]


@attrs.define(eq=False)
class _Answer:
    text: list[str] = attrs.field(factory=list)
    reasoning: list[str] = attrs.field(factory=list)
    calls: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    finish_reason: str | None = None


class ChatContent:
    """Collects a request's prompt and answers for its span, where traces may contain them."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._answers: dict[int, _Answer] = {}

    def note(self, event: GenerationEvent) -> None:
        if not isinstance(event, (TextDelta, ReasoningDelta, ToolCallDelta, Finished)):
            return
        answer = self._answers.setdefault(event.index, _Answer())
        match event:
            case TextDelta():
                answer.text.append(event.text)
            case ReasoningDelta():
                answer.reasoning.append(event.text)
            case ToolCallDelta():
                call = answer.calls.setdefault(event.call, {"type": "tool_call", "arguments": ""})
                call["arguments"] += event.arguments
                call.update(
                    {key: value for key, value in (("id", event.id), ("name", event.name)) if value is not None}
                )
            case Finished():
                answer.finish_reason = event.finish_reason

    def collected(self) -> otel.Content:
        prompt = self._request.prompt
        if isinstance(prompt, ChatPrompt):
            messages = [_input_message(message) for message in prompt.messages]
        elif isinstance(prompt, TextPrompt):
            messages = [{"role": "user", "parts": [_text(prompt.text)]}]
        else:
            messages = [{"role": "user", "parts": [{"type": "tokens", "content": prompt.tokens}]}]
        return otel.Content(
            input_messages=messages,
            output_messages=[_output_message(answer) for _, answer in sorted(self._answers.items())],
            tool_definitions=_tools(prompt) if isinstance(prompt, ChatPrompt) else (),
        )


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _parts(content: Content) -> list[dict[str, Any]]:
    """The content's texts. A picture is its size and digest: its pixels would be megabytes."""
    if isinstance(content, str):
        return [_text(content)]
    return [_picture(part) if isinstance(part, ImagePart) else _text(part.text) for part in content]


def _picture(part: ImagePart) -> dict[str, Any]:
    return {"type": "image", "width": part.width, "height": part.height, "digest": part.digest}


def _input_message(message: ChatMessage) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if message.reasoning_content:
        parts.append({"type": "reasoning", "content": message.reasoning_content})
    if message.tool_call_id is not None:
        text = None if message.content is None else content_text(message.content, picture="[image {width}x{height}]")
        parts.append({"type": "tool_call_response", "id": message.tool_call_id, "response": text})
    elif message.content is not None:
        parts += _parts(message.content)
    for call in message.tool_calls or ():
        function = call.get("function", {})
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": function.get("name"),
                "arguments": function.get("arguments"),
            }
        )
    return {"role": message.role, "parts": parts}


def _output_message(answer: _Answer) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if answer.reasoning:
        parts.append({"type": "reasoning", "content": "".join(answer.reasoning)})
    if answer.text:
        parts.append(_text("".join(answer.text)))
    parts += [{**call, "arguments": _decoded(call["arguments"])} for call in answer.calls.values()]
    return {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason or "error"}


def _decoded(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:  # the arguments are not complete
        return arguments


def _tools(prompt: ChatPrompt) -> Sequence[dict[str, Any]]:
    return [{"type": "function", **msgspec.to_builtins(tool)} for tool in prompt.tools]
