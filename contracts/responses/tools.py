"""Tools that the model may call, and the form of the text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MinLen

from contracts._fields import EXPLICIT_NULL, IN_FUNCTION, OTHER_FIELDS, Fraction, JsonObject, JsonSchema
from contracts.chat.tools import FunctionChoice, FunctionName
from contracts.parameters import noted
from contracts.retrieval.context import ResultCount, StoreIds
from contracts.retrieval.filters import Filter

__all__ = [
    "AllowedTool",
    "AnyText",
    "CustomTool",
    "CustomToolFormat",
    "FileSearchTool",
    "FunctionTool",
    "GrammarFormat",
    "NamespaceMember",
    "NamespaceTool",
    "OtherTool",
    "RankingOptions",
    "ResponseTextParam",
    "TextFormat",
    "TextResponseFormatJsonObject",
    "TextResponseFormatJsonSchema",
    "TextResponseFormatText",
    "Tool",
    "ToolChoice",
    "ToolChoiceAllowed",
    "ToolChoiceCustom",
    "ToolChoiceFunction",
    "ToolChoiceOptions",
    "ToolChoiceOther",
    "ToolChoiceWord",
]


_ALLOWED_CALLERS = noted("Only the model itself calls.", accepted=([], ["direct"], ["direct", "programmatic"]))


@attrs.frozen(kw_only=True)
class FunctionTool:
    """A function that the model may call.

    `parameters` is a JSON schema. `strict` makes calls keep to it; left out, it does not. The fields may also be in
    `function`, as in chat completions.
    """

    type: Literal["function"] = attrs.field(default="function", metadata=IN_FUNCTION)
    name: FunctionName
    description: str | None = None
    parameters: JsonSchema | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    strict: bool | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    allowed_callers: Any = attrs.field(default=None, metadata=_ALLOWED_CALLERS)
    defer_loading: Any = attrs.field(default=None, metadata=noted(accepted=(False,)))
    output_schema: Any = attrs.field(default=None, metadata=noted())


@attrs.frozen(kw_only=True)
class AnyText:
    """Any text."""

    type: Literal["text"]


@attrs.frozen(kw_only=True)
class GrammarFormat:
    """Text of a grammar."""

    type: Literal["grammar"]
    syntax: Literal["lark", "regex"]
    definition: str


CustomToolFormat = AnyText | GrammarFormat


@attrs.frozen(kw_only=True)
class CustomTool:
    """A tool whose input is text. The model calls it as a function whose only argument is that text."""

    type: Literal["custom"]
    name: FunctionName
    description: str | None = None
    format: CustomToolFormat | None = None
    allowed_callers: Any = attrs.field(default=None, metadata=_ALLOWED_CALLERS)
    defer_loading: Any = attrs.field(default=None, metadata=noted(accepted=(False,)))


@attrs.frozen(kw_only=True)
class RankingOptions:
    """Which of the passages found are kept."""

    ranker: Any = attrs.field(default=None, metadata=noted(accepted=("auto", "default-2024-11-15")))
    score_threshold: Fraction | None = None
    hybrid_search: Any = attrs.field(default=None, metadata=noted())


@attrs.frozen(kw_only=True)
class FileSearchTool:
    """Vector stores to search for passages before the answer. The server searches, not the model."""

    type: Literal["file_search"]
    vector_store_ids: StoreIds
    max_num_results: ResultCount | None = None
    filters: Filter | None = None
    ranking_options: RankingOptions | None = None


@attrs.frozen(kw_only=True)
class OtherTool:
    """A tool that OpenAI runs itself, such as `web_search`. It is not offered to the model."""

    type: str
    fields: JsonObject = attrs.field(factory=dict, metadata=OTHER_FIELDS)


NamespaceMember = FunctionTool | CustomTool | OtherTool


@attrs.frozen(kw_only=True)
class NamespaceTool:
    """Tools under a common name, which their calls return."""

    type: Literal["namespace"]
    name: FunctionName
    description: str | None = None
    tools: list[NamespaceMember]


Tool = FunctionTool | CustomTool | NamespaceTool | FileSearchTool | OtherTool

ToolChoiceOptions = Literal["none", "auto", "required"]
ToolChoiceWord = Literal[ToolChoiceOptions, "any"]
"""`any` is another API's word for `required`."""


@attrs.frozen(kw_only=True)
class ToolChoiceFunction:
    """The model must call this function. `function` has its name in chat completions."""

    type: Literal["function", "tool"]
    name: FunctionName | None = None
    function: FunctionChoice | None = None


@attrs.frozen(kw_only=True)
class ToolChoiceCustom:
    """The model must call this custom tool."""

    type: Literal["custom"]
    name: FunctionName


@attrs.frozen(kw_only=True)
class AllowedTool:
    """A function or a custom tool of the request's `tools`."""

    type: Literal["function", "custom"]
    name: FunctionName


@attrs.frozen(kw_only=True)
class ToolChoiceAllowed:
    """The model may call only these functions (`auto`), or must call one of them (`required`)."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[AllowedTool | OtherTool], MinLen(1)]


@attrs.frozen(kw_only=True)
class ToolChoiceOther:
    """The answer must use a tool of OpenAI. Every one but `file_search` is refused."""

    type: str
    fields: JsonObject = attrs.field(factory=dict, metadata=OTHER_FIELDS)


ToolChoice = ToolChoiceWord | ToolChoiceFunction | ToolChoiceCustom | ToolChoiceAllowed | ToolChoiceOther


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
    """JSON that the schema accepts; unless it is `strict`, as far as a grammar can hold it."""

    type: Literal["json_schema"]
    name: str | None = "schema"
    schema: JsonSchema
    description: str | None = None
    strict: bool | None = None


TextFormat = TextResponseFormatText | TextResponseFormatJsonObject | TextResponseFormatJsonSchema


@attrs.frozen(kw_only=True)
class ResponseTextParam:
    """The form of the text."""

    format: TextFormat | None = None
    verbosity: Any = attrs.field(default=None, metadata=noted(accepted=("medium",)))
