"""Content blocks of Anthropic's Messages API: what turns hold, and what a response holds.

Source: https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import JsonObject

__all__ = [
    "DocumentBlock",
    "ImageBlock",
    "InputBlock",
    "OutputBlock",
    "RedactedThinkingBlock",
    "SearchResultBlock",
    "ServerToolBlock",
    "TextBlock",
    "ThinkingBlock",
    "ToolResultBlock",
    "ToolResultContent",
    "ToolUseBlock",
]


@attrs.frozen(kw_only=True)
class TextBlock:
    """Text. `cache_control` has no effect: the prefix cache needs no marks."""

    type: Literal["text"] = "text"
    text: str
    cache_control: JsonObject | None = None
    citations: list[JsonObject] | None = None


@attrs.frozen(kw_only=True)
class ThinkingBlock:
    """Reasoning. The signature is opaque and is not verified."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


@attrs.frozen(kw_only=True)
class RedactedThinkingBlock:
    """Encrypted reasoning of another server. It is skipped."""

    type: Literal["redacted_thinking"]
    data: str = ""


@attrs.frozen(kw_only=True)
class ToolUseBlock:
    """A call of a client's tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: JsonObject
    cache_control: JsonObject | None = None


@attrs.frozen(kw_only=True)
class ImageBlock:
    """An image, in base64 or at a URL."""

    type: Literal["image"]
    source: JsonObject
    cache_control: JsonObject | None = None


@attrs.frozen(kw_only=True)
class DocumentBlock:
    """A document. A source of type `text` or `content` is read as text."""

    type: Literal["document"]
    source: JsonObject
    title: str | None = None
    context: str | None = None
    citations: JsonObject | None = None
    cache_control: JsonObject | None = None


@attrs.frozen(kw_only=True)
class SearchResultBlock:
    """A passage that the client's own search found."""

    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlock]
    citations: JsonObject | None = None
    cache_control: JsonObject | None = None


@attrs.frozen(kw_only=True)
class ServerToolBlock:
    """A call of a tool that another server ran, or its result, in a replayed history. It is skipped."""

    type: Literal[
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "tool_reference",
        "mcp_tool_use",
        "mcp_tool_result",
        "container_upload",
        "compaction",
    ]


ToolResultContent = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ServerToolBlock


@attrs.frozen(kw_only=True)
class ToolResultBlock:
    """What a client's tool returned."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[ToolResultContent] | None = None
    is_error: bool | None = None
    cache_control: JsonObject | None = None


InputBlock = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ServerToolBlock
)
OutputBlock = TextBlock | ThinkingBlock | ToolUseBlock
