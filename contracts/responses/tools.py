"""Functions that the model may call, and the form of the text."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MinLen

from contracts._fields import EXPLICIT_NULL, JsonObject, SchemaName
from contracts.chat.tools import FunctionName
from contracts.parameters import noted, refused

__all__ = [
    "AllowedTool",
    "FunctionTool",
    "OtherTool",
    "ResponseTextParam",
    "TextFormat",
    "TextResponseFormatJsonObject",
    "TextResponseFormatJsonSchema",
    "TextResponseFormatText",
    "Tool",
    "ToolChoice",
    "ToolChoiceAllowed",
    "ToolChoiceFunction",
    "ToolChoiceOptions",
    "ToolChoiceOther",
]


@attrs.frozen(kw_only=True)
class FunctionTool:
    """A function that the model may call.

    `parameters` is a JSON schema. `strict` makes calls keep to it; left out, it does not.
    """

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    strict: bool | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    allowed_callers: list[str] | None = attrs.field(
        default=None, metadata=refused([], ["direct"], instead="only the model itself calls; leave it out")
    )
    defer_loading: bool | None = attrs.field(default=None, metadata=refused(False))
    output_schema: JsonObject | None = attrs.field(default=None, metadata=refused())


@attrs.frozen(kw_only=True)
class OtherTool:
    """A tool that OpenAI runs itself, or that is not a function."""

    type: Literal[
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use",
        "computer_use_preview",
        "custom",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    ]


Tool = FunctionTool | OtherTool

ToolChoiceOptions = Literal["none", "auto", "required"]


@attrs.frozen(kw_only=True)
class ToolChoiceFunction:
    """The model must call this function."""

    type: Literal["function"]
    name: FunctionName


@attrs.frozen(kw_only=True)
class AllowedTool:
    """A function of the request's `tools`."""

    type: Literal["function"]
    name: FunctionName


@attrs.frozen(kw_only=True)
class ToolChoiceAllowed:
    """The model may call only these functions (`auto`), or must call one of them (`required`)."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[AllowedTool | OtherTool], MinLen(1)]


@attrs.frozen(kw_only=True)
class ToolChoiceOther:
    """The model must call a tool of OpenAI."""

    type: Literal[
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use",
        "computer_use_preview",
        "custom",
        "file_search",
        "image_generation",
        "mcp",
        "programmatic_tool_calling",
        "shell",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    ]


ToolChoice = ToolChoiceOptions | ToolChoiceFunction | ToolChoiceAllowed | ToolChoiceOther


@attrs.frozen(kw_only=True)
class TextResponseFormatText:
    """Any text."""

    type: Literal["text"]


@attrs.frozen(kw_only=True)
class TextResponseFormatJsonObject:
    """Any JSON object."""

    type: Literal["json_object"]


@attrs.frozen(kw_only=True)
class TextResponseFormatJsonSchema:
    """JSON that the schema accepts, `strict` or not."""

    type: Literal["json_schema"]
    name: SchemaName
    schema: JsonObject
    description: str | None = None
    strict: bool | None = None


TextFormat = TextResponseFormatText | TextResponseFormatJsonObject | TextResponseFormatJsonSchema


@attrs.frozen(kw_only=True)
class ResponseTextParam:
    """The form of the text."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = attrs.field(default=None, metadata=noted(accepted=("medium",)))
