"""The turns of a conversation in a request."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import OTHER_FIELDS, JsonObject
from contracts.chat.audio import AudioReference
from contracts.chat.tools import CalledFunction, EarlierToolCall

__all__ = [
    "ChatCompletionRequestMessage",
    "ChatCompletionRequestMessageContentPartAudio",
    "ChatCompletionRequestMessageContentPartFile",
    "ChatCompletionRequestMessageContentPartImage",
    "ChatCompletionRequestMessageContentPartOther",
    "ChatCompletionRequestMessageContentPartRefusal",
    "ChatCompletionRequestMessageContentPartText",
    "ChatCompletionRequestMessageContentPartVideo",
    "ContentPart",
    "ImageURL",
    "InputAudio",
    "Role",
    "VideoURL",
]

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
"""`function` is the older name of `tool`."""


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartText:
    """Text. Consecutive parts are joined by a line break."""

    type: Literal["text"] = "text"
    text: str


@attrs.frozen(kw_only=True)
class ImageURL:
    """The data URL or address of an image. `detail`: the size at which the model reads it."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartImage:
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURL | str


@attrs.frozen(kw_only=True)
class VideoURL:
    """The data URL or address of a video."""

    url: str


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartVideo:
    """A video, an extension of vLLM's: the model reads some of its frames."""

    type: Literal["video_url"]
    video_url: VideoURL | str


@attrs.frozen(kw_only=True)
class InputAudio:
    """Audio in base64."""

    data: str
    format: str


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartAudio:
    """Audio."""

    type: Literal["input_audio"]
    input_audio: InputAudio


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartFile:
    """A file."""

    type: Literal["file"]
    file: JsonObject


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartRefusal:
    """The text of an assistant's refusal."""

    type: Literal["refusal"]
    refusal: str


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessageContentPartOther:
    """A part of another API, in a turn of an assistant or of a tool, which a client replays."""

    type: str
    fields: JsonObject = attrs.field(factory=dict, metadata=OTHER_FIELDS)


ContentPart = (
    ChatCompletionRequestMessageContentPartText
    | ChatCompletionRequestMessageContentPartImage
    | ChatCompletionRequestMessageContentPartVideo
    | ChatCompletionRequestMessageContentPartAudio
    | ChatCompletionRequestMessageContentPartFile
    | ChatCompletionRequestMessageContentPartRefusal
    | ChatCompletionRequestMessageContentPartOther
)


@attrs.frozen(kw_only=True)
class ChatCompletionRequestMessage:
    """One turn.

    `content` is required, except in turns of an assistant and of tools; what a tool returned may be any JSON.
    `tool_call_id` is required in a tool's turn, if several calls are without a result.
    """

    role: Role
    content: str | list[ContentPart] | JsonObject | int | float | bool | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """Another name of `reasoning_content`."""
    tool_calls: list[EarlierToolCall] | None = None
    tool_call_id: str | int | None = None
    function_call: CalledFunction | None = None
    audio: AudioReference | None = None
    """The spoken answer that the turn was."""
    prefix: bool | None = None
    """The answer continues this turn, which is the last and the assistant's."""
