"""The items of a response's conversation: what goes in, what comes out, and what both may be."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import JsonObject

__all__ = [
    "FunctionCallOutput",
    "FunctionToolCall",
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
    "StoredItem",
    "TopLogProb",
]

ItemStatus = Literal["in_progress", "completed", "incomplete"]


@attrs.frozen(kw_only=True)
class InputTextContent:
    """Text; consecutive parts are joined by a line break."""

    type: Literal["input_text"]
    text: str


@attrs.frozen(kw_only=True)
class InputImageContent:
    """An image to look at."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


@attrs.frozen(kw_only=True)
class InputFileContent:
    """A file to read, or sound to listen to."""

    type: Literal["input_file", "input_audio"]


@attrs.frozen(kw_only=True)
class TopLogProb:
    """A token that could have been in another's place. `bytes` are of its UTF-8."""

    token: str
    logprob: float
    bytes: list[int] | None = None


@attrs.frozen(kw_only=True)
class LogProb:
    """A generated token and its natural log-probability. `bytes` are of its UTF-8; events leave them out."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogProb] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class OutputTextContent:
    """Text that the model wrote. There are never annotations."""

    type: Literal["output_text"]
    text: str
    annotations: list[JsonObject] = attrs.field(factory=list)
    logprobs: list[LogProb] | None = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class RefusalContent:
    """What an assistant said instead of an answer."""

    type: Literal["refusal"]
    refusal: str


InputContent = InputTextContent | InputImageContent | InputFileContent | OutputTextContent | RefusalContent


@attrs.frozen(kw_only=True)
class InputMessage:
    """One turn. The text of an assistant's is `output_text` or `refusal`, of the others' `input_text`."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputContent]
    id: str | None = None
    status: ItemStatus | None = None
    phase: Literal["commentary", "final_answer"] | None = None


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
    """A function that the model called; `arguments` is JSON text."""

    type: Literal["function_call"]
    id: str | None = None
    call_id: str
    name: str
    arguments: str
    status: ItemStatus | None = None
    namespace: str | None = None


@attrs.frozen(kw_only=True)
class FunctionCallOutput:
    """What a called function gave back."""

    type: Literal["function_call_output"]
    id: str | None = None
    call_id: str
    output: str | list[InputContent]
    status: ItemStatus | None = None


@attrs.frozen(kw_only=True)
class ReasoningTextContent:
    """Thinking, word for word."""

    type: Literal["reasoning_text"]
    text: str


@attrs.frozen(kw_only=True)
class ReasoningSummary:
    """Thinking in short. This server writes none, and reads those of others."""

    type: Literal["summary_text"]
    text: str


@attrs.frozen(kw_only=True)
class ReasoningItem:
    """What the model thought before it went on.

    `encrypted_content` is `content` in a form that clients hand back unread; it hides nothing.
    """

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[ReasoningSummary] = attrs.field(factory=list)
    content: list[ReasoningTextContent] | None = None
    encrypted_content: str | None = None
    status: ItemStatus | None = None


@attrs.frozen(kw_only=True)
class ItemReference:
    """An item of a stored response."""

    type: Literal["item_reference"]
    id: str


@attrs.frozen(kw_only=True)
class OtherItem:
    """An item that belongs to a tool this server does not have."""

    type: Literal[
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    ]


InputItem = InputMessage | FunctionToolCall | FunctionCallOutput | ReasoningItem | ItemReference | OtherItem
OutputItem = OutputMessage | FunctionToolCall | ReasoningItem
StoredItem = InputMessage | FunctionToolCall | FunctionCallOutput | ReasoningItem
"""What a conversation is made of once references are resolved; the model's turns among them are `InputMessage`s."""
