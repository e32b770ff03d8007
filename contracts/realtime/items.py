"""The items of a realtime conversation: messages, function calls, and what the functions returned."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import JsonText
from contracts.chat.tools import FunctionName

__all__ = [
    "ItemId",
    "ItemStatus",
    "RealtimeContent",
    "RealtimeFunctionCall",
    "RealtimeFunctionCallOutput",
    "RealtimeItem",
    "RealtimeItemReference",
    "RealtimeMessage",
]

ItemId = Annotated[str, MinLen(1), MaxLen(128)]
"""OpenAI allows 32 characters."""
ItemStatus = Literal["completed", "incomplete", "in_progress"]


@attrs.frozen(kw_only=True)
class RealtimeContent:
    """A part of a message. `text` and `audio` are the beta's names of `output_text` and `output_audio`."""

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio", "text", "audio"]
    text: str | None = None
    audio: str | None = None
    """Base64, in the session's format. The server sends it only where an item is retrieved."""
    transcript: str | None = None
    image_url: str | None = None
    detail: Literal["auto", "low", "high"] | None = None


@attrs.frozen(kw_only=True)
class RealtimeMessage:
    """A turn of the system, the user or the assistant."""

    id: ItemId | None = None
    object: Literal["realtime.item"] | None = None
    type: Literal["message"] = "message"
    status: ItemStatus | None = None
    role: Literal["system", "user", "assistant"]
    content: list[RealtimeContent]


@attrs.frozen(kw_only=True)
class RealtimeFunctionCall:
    """A call that the model made. `arguments` is JSON text."""

    id: ItemId | None = None
    object: Literal["realtime.item"] | None = None
    type: Literal["function_call"]
    status: ItemStatus | None = None
    call_id: str | None = None
    name: FunctionName
    arguments: JsonText


@attrs.frozen(kw_only=True)
class RealtimeFunctionCallOutput:
    """What the function of a call returned."""

    id: ItemId | None = None
    object: Literal["realtime.item"] | None = None
    type: Literal["function_call_output"]
    status: ItemStatus | None = None
    call_id: str
    output: JsonText


@attrs.frozen(kw_only=True)
class RealtimeItemReference:
    """An item of the conversation, in the input of a response."""

    type: Literal["item_reference"]
    id: ItemId


RealtimeItem = RealtimeMessage | RealtimeFunctionCall | RealtimeFunctionCallOutput
