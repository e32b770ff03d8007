"""Tools that the model may call, and the form of the text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import EXPLICIT_NULL, IN_FUNCTION, OTHER_FIELDS, Fraction, JsonObject, JsonSchema, ModelName
from contracts.chat.tools import FunctionChoice, FunctionName
from contracts.images import MAX_SEED, MAX_STEPS
from contracts.parameters import noted, refused
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
    "ImageGenerationTool",
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
class ImageGenerationTool:
    """Images that the model may have painted, by an image model of this server. The model writes the prompt.

    It is an `OtherTool` until the server has found such a model: without one it is noted, whatever its fields.
    """

    type: Literal["image_generation"]
    model: ModelName | None = None
    """One that the server does not have means any."""
    size: Annotated[str, MaxLen(32)] | None = None
    """`auto` or `WIDTHxHEIGHT`."""
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Ge(0), Le(100)] | None = None
    partial_images: Annotated[int, Ge(0), Le(3)] | None = None
    seed: Annotated[int, Ge(-1), Le(MAX_SEED)] | None = None
    """Extension."""
    steps: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = None
    """Extension."""
    action: Any = attrs.field(default=None, metadata=noted("It generates.", accepted=("auto", "generate")))
    quality: Any = attrs.field(default=None, metadata=noted("`steps` decides it.", accepted=("auto",)))
    moderation: Any = attrs.field(default=None, metadata=noted(accepted=("auto", "low")))
    input_fidelity: Any = attrs.field(default=None, metadata=noted())
    input_image_mask: Any = attrs.field(default=None, metadata=noted("It generates."))
    background: Any = attrs.field(
        default=None, metadata=refused("auto", "opaque", instead="images are opaque; leave it out")
    )


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
    """The answer must use a tool of OpenAI. Every one but `file_search` and `image_generation` is refused."""

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
