"""A message, from what the model generated."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import attrs
import msgspec

from contracts.messages.blocks import OutputBlock, TextBlock, ThinkingBlock, ToolUseBlock
from contracts.messages.response import Message, MessagesUsage, StopReason
from providers.chat.types import FinishReason, Usage
from server.api.generation.collect import Answer

__all__ = ["MessageHeader", "message", "messages_usage", "stopped"]

_STOP_REASONS: dict[FinishReason, StopReason] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@attrs.frozen(kw_only=True)
class MessageHeader:
    """What is known of a message before its content."""

    id: str
    model: str
    request_id: str

    @classmethod
    def new(cls, *, model: str, request_id: str) -> MessageHeader:
        return cls(id=f"msg_{uuid4().hex[:24]}", model=model, request_id=request_id)

    @property
    def signature(self) -> str:
        """What stands for a signature of reasoning. Clients drop a thinking block that has none."""
        return f"unsigned-{self.id}"

    def message(self, **fields: Any) -> Message:
        return Message(id=self.id, model=self.model, request_id=self.request_id, **fields)


def message(header: MessageHeader, answer: Answer) -> Message:
    """The whole message."""
    content: list[OutputBlock] = []
    if answer.reasoning:
        content.append(ThinkingBlock(type="thinking", thinking=answer.reasoning, signature=header.signature))
    if answer.text:
        content.append(TextBlock(text=answer.text))
    content.extend(
        ToolUseBlock(type="tool_use", id=call.id, name=call.name, input=_input(call.arguments))
        for call in answer.tool_calls
    )
    return header.message(
        content=content,
        **stopped(answer.finish_reason, answer.stop),
        usage=messages_usage(answer.usage),
    )


def stopped(reason: FinishReason, stop: str | None) -> dict[str, Any]:
    """`stop_reason` and `stop_sequence`. `stop`: the stop string that ended the answer; None: none did."""
    if reason == "stop" and stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": stop}
    return {"stop_reason": _STOP_REASONS[reason], "stop_sequence": None}


def messages_usage(usage: Usage) -> MessagesUsage:
    """Anthropic counts the tokens read from a cache apart."""
    return MessagesUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_input_tokens=usage.cached_tokens,
    )


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as an object. A call that `max_tokens` cut off has no complete one."""
    try:
        decoded = msgspec.json.decode(arguments)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
