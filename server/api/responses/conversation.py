"""Items of a conversation: with ids for the store, and as the turns that chat templates read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import attrs

from contracts.responses.items import (
    FunctionCallOutput,
    FunctionToolCall,
    InputContent,
    InputItem,
    InputMessage,
    InputTextContent,
    ItemReference,
    OtherItem,
    OutputTextContent,
    ReasoningItem,
    RefusalContent,
    StoredItem,
)
from providers.chat.types import ChatMessage
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.messages import call_arguments

__all__ = ["encrypted", "input_items", "item_id", "references", "to_turns"]

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}


def item_id(type_: str, response_id: str, index: int) -> str:
    """The id of an item without one. It is unique wherever the response's id is, and stable."""
    return f"{_PREFIXES[type_]}_{response_id.removeprefix('resp_')}{index:04x}"


def encrypted(thought: str) -> str:
    """Reasoning as `encrypted_content`. The text is only encoded: the answer contains it in clear as well."""
    return base64.b64encode(thought.encode()).decode()


def references(items: str | Sequence[InputItem] | None) -> list[str]:
    """The ids of stored items that the input refers to."""
    return [item.id for item in items or [] if isinstance(item, ItemReference)]


def input_items(
    given: str | Sequence[InputItem] | None, referred: dict[str, StoredItem], *, response_id: str
) -> list[StoredItem]:
    """The input as it is stored: every item has an id, texts are parts, and references are replaced by their items.

    Output items are numbered from 0, and input items from 2**15.

    Raises:
        InvalidRequest: an item lacks a required field.
        UnsupportedParameter: an item holds content that this server cannot read: an image, audio, a file, a call of
            another tool.
    """
    if isinstance(given, str):
        given = [InputMessage(role="user", content=given)]
    items: list[StoredItem] = []
    for index, item in enumerate(given or []):
        path = f"input[{index}]"
        if isinstance(item, OtherItem):
            raise UnsupportedParameter(
                f"{path}: items of type {item.type!r} are not supported by this server", param=f"{path}.type"
            )
        if isinstance(item, ItemReference):
            items.append(referred[item.id])
            continue
        _check(item, path)
        id = item.id or item_id(item.type, response_id, 2**15 + index)
        if isinstance(item, InputMessage):
            item = attrs.evolve(item, content=_parts(item))
        items.append(attrs.evolve(item, id=id, status="completed"))  # input items have no other status
    return items


def to_turns(items: Sequence[StoredItem], *, instructions: str | None) -> list[ChatMessage]:
    """A conversation as chat templates read it. They read `developer` as `system`.

    Reasoning, the text after it and the calls after that form one turn of the assistant, as the model generated them.

    Raises:
        InvalidRequest: a call has no output, or an output has no call.
    """
    turns: list[ChatMessage] = []
    draft = _Draft()
    waiting: dict[str, None] = {}
    if instructions is not None:
        turns.append(ChatMessage(role="system", content=instructions))
    for item in items:
        if draft.closed_by(item):
            turns.append(draft.turn())
            draft = _Draft()
        if isinstance(item, FunctionCallOutput):
            if item.call_id not in waiting:
                raise InvalidRequest(
                    f"No tool call found for function call output with call_id {item.call_id}.", param="input"
                )
            del waiting[item.call_id]
            turns.append(ChatMessage(role="tool", content=_text(item.output), tool_call_id=item.call_id))
        elif isinstance(item, InputMessage) and item.role != "assistant":
            role = "system" if item.role == "developer" else item.role
            turns.append(ChatMessage(role=role, content=_text(item.content)))
        else:
            draft.add(item)
            if isinstance(item, FunctionToolCall):
                waiting[item.call_id] = None
    if draft:
        turns.append(draft.turn())
    for call_id in waiting:
        raise InvalidRequest(f"No tool output found for function call {call_id}.", param="input")
    return turns


class _Draft:
    """A turn of the assistant that is being assembled."""

    def __init__(self) -> None:
        self._thoughts: list[str] = []
        self._text: str | None = None
        self._calls: list[dict[str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._thoughts or self._calls) or self._text is not None

    def closed_by(self, item: StoredItem) -> bool:
        """Whether the item belongs to the next turn. A turn has reasoning, then a text, then calls."""
        if not self:
            return False
        if isinstance(item, ReasoningItem):
            return self._text is not None or bool(self._calls)
        if isinstance(item, InputMessage) and item.role == "assistant":
            return self._text is not None or bool(self._calls)
        return not isinstance(item, FunctionToolCall)

    def add(self, item: StoredItem) -> None:
        if isinstance(item, ReasoningItem):
            self._thoughts.append(_thought(item))
        elif isinstance(item, FunctionToolCall):
            function = {"name": item.name, "arguments": call_arguments(item.arguments)}
            self._calls.append({"id": item.call_id, "type": "function", "function": function})
        elif isinstance(item, InputMessage):
            self._text = _text(item.content)

    def turn(self) -> ChatMessage:
        content = self._text if self._text is not None or self._calls else ""
        return ChatMessage(
            role="assistant",
            content=content,
            tool_calls=self._calls or None,
            reasoning_content="\n".join(thought for thought in self._thoughts if thought) or None,
        )


def _check(item: StoredItem, path: str) -> None:
    if isinstance(item, InputMessage):
        _check_parts(item.content, f"{path}.content", spoken=item.role == "assistant")
    elif isinstance(item, FunctionCallOutput):
        _check_parts(item.output, f"{path}.output", spoken=False)
    elif isinstance(item, FunctionToolCall) and item.namespace is not None:
        raise UnsupportedParameter(f"{path}.namespace is not supported by this server", param=f"{path}.namespace")
    elif isinstance(item, ReasoningItem):
        _thought(item, path)


def _check_parts(content: str | list[InputContent], path: str, *, spoken: bool) -> None:
    if isinstance(content, str):
        return
    if not content:
        raise InvalidRequest(f"{path}: must not be empty", param=path)
    for index, part in enumerate(content):
        place = f"{path}[{index}].type"
        if isinstance(part, OutputTextContent | RefusalContent):
            if not spoken:
                raise InvalidRequest(f"{place}: only content of the assistant may have type {part.type!r}", param=place)
        elif not isinstance(part, InputTextContent):
            raise UnsupportedParameter(
                f"{place}: content of type {part.type!r} is not supported by this model; send text", param=place
            )


def _parts(message: InputMessage) -> list[InputContent]:
    if not isinstance(message.content, str):
        return message.content
    if message.role == "assistant":
        return [OutputTextContent(type="output_text", text=message.content)]
    return [InputTextContent(type="input_text", text=message.content)]


def _text(content: str | Sequence[InputContent]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(
        part.refusal if isinstance(part, RefusalContent) else getattr(part, "text", "") for part in content
    )


def _thought(item: ReasoningItem, path: str = "input") -> str:
    """The reasoning text, or its encoded form or summary where the text is missing."""
    if item.content:
        return "\n".join(part.text for part in item.content)
    if item.encrypted_content:
        try:
            return base64.b64decode(item.encrypted_content, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            place = f"{path}.encrypted_content"
            raise InvalidRequest(f"{place}: this server did not write it", param=place) from None
    return "\n".join(part.text for part in item.summary)
