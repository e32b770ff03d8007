"""Content blocks of Anthropic's Messages API: what turns hold, and what a response holds.

Source: https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from contracts._fields import OTHER_FIELDS, JsonObject
from contracts.parameters import honoured, noted

__all__ = [
    "CACHE_CONTROL",
    "DocumentBlock",
    "ImageBlock",
    "InputBlock",
    "OtherBlock",
    "OutputBlock",
    "RedactedThinkingBlock",
    "SearchResultBlock",
    "TextBlock",
    "ThinkingBlock",
    "ToolReferenceBlock",
    "ToolResultBlock",
    "ToolResultContent",
    "ToolUseBlock",
]


CACHE_CONTROL = noted("The prefix cache needs no marks.")
"""Metadata of the field in every block that has it."""

_CITATIONS = noted("The model cites nothing.", accepted=({}, {"enabled": False}))


@attrs.frozen(kw_only=True)
class TextBlock:
    """Text."""

    type: Literal["text"] = attrs.field(default="text", metadata=honoured(default="text"))
    text: str = attrs.field(metadata=honoured())
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)
    citations: Any = attrs.field(default=None, metadata=noted("The text itself is read.", accepted=([],)))


@attrs.frozen(kw_only=True)
class ThinkingBlock:
    """Reasoning. The signature is opaque and is not verified."""

    type: Literal["thinking"] = attrs.field(metadata=honoured())
    thinking: str | None = attrs.field(default="", metadata=honoured(default=""))
    signature: str | None = attrs.field(default="", metadata=honoured("Not verified.", default=""))


@attrs.frozen(kw_only=True)
class RedactedThinkingBlock:
    """Encrypted reasoning of another server. It is skipped."""

    type: Literal["redacted_thinking"] = attrs.field(metadata=honoured())
    data: Any = attrs.field(default=None, metadata=noted("No other server can read it."))


@attrs.frozen(kw_only=True)
class ToolUseBlock:
    """A call of a client's tool."""

    type: Literal["tool_use"] = attrs.field(metadata=honoured())
    id: str = attrs.field(metadata=honoured())
    name: str = attrs.field(metadata=honoured())
    input: JsonObject | str | None = attrs.field(
        default=None, metadata=honoured("An object, or its JSON text.", default={})
    )
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


@attrs.frozen(kw_only=True)
class ImageBlock:
    """An image, in base64 or at a URL."""

    type: Literal["image"] = attrs.field(metadata=honoured())
    source: JsonObject = attrs.field(metadata=honoured())
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


@attrs.frozen(kw_only=True)
class DocumentBlock:
    """A document. Its text is read: the source has it (`text`, `content`) or holds or names a file with it."""

    type: Literal["document"] = attrs.field(metadata=honoured())
    source: JsonObject = attrs.field(metadata=honoured())
    title: str | None = attrs.field(default=None, metadata=honoured(otherwise="none"))
    context: str | None = attrs.field(default=None, metadata=honoured(otherwise="none"))
    citations: Any = attrs.field(default=None, metadata=_CITATIONS)
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


@attrs.frozen(kw_only=True)
class SearchResultBlock:
    """A passage that the client's own search found."""

    type: Literal["search_result"] = attrs.field(metadata=honoured())
    source: str = attrs.field(metadata=honoured())
    title: str = attrs.field(metadata=honoured())
    content: list[TextBlock] = attrs.field(metadata=honoured())
    citations: Any = attrs.field(default=None, metadata=_CITATIONS)
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


@attrs.frozen(kw_only=True)
class OtherBlock:
    """A block of another type: a call of a tool that another server ran, its result, or one of a later API. It is
    skipped."""

    type: str = attrs.field(metadata=honoured("The block is skipped, and its type is noted."))
    fields: JsonObject = attrs.field(factory=dict, metadata={**OTHER_FIELDS, **honoured(default={})})


@attrs.frozen(kw_only=True)
class ToolReferenceBlock:
    """A tool that the client's own search of tools found. Its definition is in `tools`."""

    type: Literal["tool_reference"] = attrs.field(metadata=honoured())
    tool_name: str = attrs.field(metadata=honoured("The model reads the name."))
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


ToolResultContent = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock | OtherBlock


@attrs.frozen(kw_only=True)
class ToolResultBlock:
    """What a client's tool returned."""

    type: Literal["tool_result"] = attrs.field(metadata=honoured())
    tool_use_id: str | None = attrs.field(default=None, metadata=honoured(default=""))
    content: str | list[ToolResultContent] | None = attrs.field(
        default=None,
        metadata=honoured("What the model cannot read of images and documents is `[image]` or `[file]`.", default=""),
    )
    is_error: bool | None = attrs.field(default=None, metadata=honoured(default=False))
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


InputBlock = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | OtherBlock
)
OutputBlock = TextBlock | ThinkingBlock | ToolUseBlock
