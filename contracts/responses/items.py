"""The items of a response's conversation: input, output, and those that can be both."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from contracts._fields import EXPLICIT_NULL, OTHER_FIELDS, JsonObject, JsonText

__all__ = [
    "CustomToolCall",
    "CustomToolCallOutput",
    "FileCitation",
    "FileSearchCall",
    "FileSearchResult",
    "FunctionCallOutput",
    "FunctionToolCall",
    "ImageCallError",
    "ImageGenerationCall",
    "InputAudioContent",
    "InputContent",
    "InputFileContent",
    "InputImageContent",
    "InputItem",
    "InputMessage",
    "InputTextContent",
    "ItemReference",
    "ItemStatus",
    "LogProb",
    "OtherItem",
    "OutputItem",
    "OutputMessage",
    "OutputTextContent",
    "ReasoningItem",
    "ReasoningSummary",
    "ReasoningTextContent",
    "RefusalContent",
    "ReturnedContent",
    "StoredItem",
    "TopLogProb",
]

ItemStatus = Literal["in_progress", "completed", "incomplete"]


@attrs.frozen(kw_only=True)
class InputTextContent:
    """Text. Consecutive parts are joined by a line break."""

    type: Literal["input_text", "text"]
    text: str


@attrs.frozen(kw_only=True)
class InputImageContent:
    """An image."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


@attrs.frozen(kw_only=True)
class InputFileContent:
    """A file, by one of its three sources."""

    type: Literal["input_file"]
    file_data: str | None = None
    """A data URL, or base64."""
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    text: str | None = None
    """Extension: what the server read in the file, in an item that it returns. Sent back, it replaces the source."""


@attrs.frozen(kw_only=True)
class InputAudioContent:
    """A recording, which a model of this server transcribes."""

    type: Literal["input_audio"]
    input_audio: Any = None
    """An object: `data` is base64, or a data URL. `format` has no effect. Of tools it may be anything."""
    transcript: str | None = None
    """Extension: what the server heard, in an item that it returns. Sent back, it replaces the recording."""


@attrs.frozen(kw_only=True)
class TopLogProb:
    """A candidate token. `bytes` is its UTF-8."""

    token: str
    logprob: float
    bytes: list[int] | None = None


@attrs.frozen(kw_only=True)
class LogProb:
    """A generated token and its natural log-probability. `bytes` is its UTF-8, which events leave out."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogProb] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class OutputTextContent:
    """Output text. Each of `annotations` is a `FileCitation`, or what another server wrote."""

    type: Literal["output_text"]
    text: str
    annotations: list[JsonObject] | None = attrs.field(factory=list)
    logprobs: list[LogProb] | None = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class FileCitation:
    """A mark such as `[1]` in the text, and the passage that it cites."""

    type: Literal["file_citation"] = "file_citation"
    index: int
    """Offset of the mark in the text, in characters."""
    file_id: str
    filename: str
    start: int | None = None
    """Extension, as `end`: offsets of the passage in the file's text, in characters."""
    end: int | None = None


@attrs.frozen(kw_only=True)
class RefusalContent:
    """The text of an assistant's refusal."""

    type: Literal["refusal"]
    refusal: str


InputContent = (
    InputTextContent | InputImageContent | InputFileContent | InputAudioContent | OutputTextContent | RefusalContent
)
ReturnedContent = InputContent | JsonObject
"""What a tool returned. Parts of other types come from tools that pass on what another API returned."""


@attrs.frozen(kw_only=True)
class InputMessage:
    """One turn. Parts of an assistant's turn are `output_text` or `refusal`, parts of other turns `input_text`."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputContent] | None = None
    id: str | None = None
    status: str | None = None
    phase: str | None = None


@attrs.frozen(kw_only=True)
class OutputMessage:
    """The model's turn."""

    type: Literal["message"]
    id: str
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: list[OutputTextContent]


@attrs.frozen(kw_only=True)
class FunctionToolCall:
    """A call of a function. `arguments` is JSON text."""

    type: Literal["function_call"]
    id: str | None = None
    call_id: str | None = None
    name: str
    arguments: JsonText
    status: str | None = None
    namespace: str | None = None


@attrs.frozen(kw_only=True)
class CustomToolCall:
    """A call of a custom tool."""

    type: Literal["custom_tool_call"]
    id: str | None = None
    call_id: str | None = None
    name: str
    input: JsonText
    status: str | None = None
    namespace: str | None = None


@attrs.frozen(kw_only=True)
class CustomToolCallOutput:
    """The output of a called custom tool."""

    type: Literal["custom_tool_call_output"]
    id: str | None = None
    call_id: str | None = None
    output: str | list[ReturnedContent | str] | JsonObject | int | float | bool | None = None
    status: str | None = None


@attrs.frozen(kw_only=True)
class FunctionCallOutput:
    """The output of a called function."""

    type: Literal["function_call_output"]
    id: str | None = None
    call_id: str | None = None
    output: str | list[ReturnedContent | str] | JsonObject | int | float | bool | None = None
    status: str | None = None


@attrs.frozen(kw_only=True)
class ReasoningTextContent:
    """Reasoning text, word for word."""

    type: Literal["reasoning_text", "text"]
    text: str


@attrs.frozen(kw_only=True)
class ReasoningSummary:
    """A summary of reasoning. This server writes none, but reads those of other servers."""

    type: Literal["summary_text"]
    text: str


@attrs.frozen(kw_only=True)
class ReasoningItem:
    """The model's reasoning.

    `encrypted_content` is `content` in a form that clients send back unread. It hides nothing.
    """

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[ReasoningSummary] | None = attrs.field(factory=list)
    content: list[ReasoningTextContent] | None = None
    encrypted_content: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    status: str | None = None


@attrs.frozen(kw_only=True)
class FileSearchResult:
    """A passage of a file. `vector_store_id`, `start` and `end` (offsets in the file's text) are extensions."""

    file_id: str | None = None
    filename: str | None = None
    score: float | None = None
    text: str | None = None
    attributes: dict[str, str | float | bool] | None = None
    vector_store_id: str | None = None
    start: int | None = None
    end: int | None = None


@attrs.frozen(kw_only=True)
class FileSearchCall:
    """A search for passages that the answer may cite, best first.

    The prompt holds its results in front of the user's turn before it. They are null unless `include` requests them.
    """

    type: Literal["file_search_call"]
    id: str | None = None
    queries: list[str] | None = attrs.field(factory=list)
    status: str | None = None
    results: list[FileSearchResult] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    found: int | None = None
    """Extension: the number of passages found."""
    used: int | None = None
    """Extension: the number of those that the context had room for."""
    marks: bool | None = None
    """Extension. False: the answer was spoken, and the prompt asks for no marks."""


@attrs.frozen(kw_only=True)
class ImageCallError:
    """Why an image was not painted."""

    code: str | None = None
    message: str = ""
    type: str = ""


@attrs.frozen(kw_only=True)
class ImageGenerationCall:
    """An image that the model had painted."""

    type: Literal["image_generation_call"]
    id: str | None = None
    status: str | None = None
    """`failed` has an `error`, and no result."""
    result: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    """The file in base64."""
    action: Any = None
    """This server's is `generate`."""
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    revised_prompt: str | None = None
    """The prompt, which the model wrote."""
    error: ImageCallError | None = None
    seed: int | None = None
    """Extension, as `steps` and `model`."""
    steps: int | None = None
    model: str | None = None


@attrs.frozen(kw_only=True)
class ItemReference:
    """An item of a stored response."""

    type: Literal["item_reference"]
    id: str


@attrs.frozen(kw_only=True)
class OtherItem:
    """An item of a tool that this server does not have, or of a type that it does not know."""

    type: str
    fields: JsonObject = attrs.field(factory=dict, metadata=OTHER_FIELDS)


InputItem = (
    InputMessage
    | FunctionToolCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | ReasoningItem
    | FileSearchCall
    | ImageGenerationCall
    | ItemReference
    | OtherItem
)
OutputItem = OutputMessage | FunctionToolCall | CustomToolCall | ReasoningItem | FileSearchCall | ImageGenerationCall
StoredItem = (
    InputMessage
    | FunctionToolCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | ReasoningItem
    | FileSearchCall
    | ImageGenerationCall
)
"""An item of a conversation whose references are resolved. The model's turns are `InputMessage`s."""
