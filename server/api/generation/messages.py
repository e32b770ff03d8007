"""Turns of a conversation, from the wire to the form that chat templates read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from contracts.chat.messages import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartAudio,
    ChatCompletionRequestMessageContentPartFile,
    ChatCompletionRequestMessageContentPartImage,
    ChatCompletionRequestMessageContentPartRefusal,
    ChatCompletionRequestMessageContentPartText,
    ChatCompletionRequestMessageContentPartVideo,
    ContentPart,
    ImageURL,
)
from contracts.chat.messages import ChatCompletionRequestMessageContentPartOther as Other
from contracts.chat.tools import EarlierToolCall
from providers.chat.types import ChatMessage, Content
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.parts.content import joined
from server.api.generation.unread import placeholder
from server.media.attachments import Attachment, Part, Seen, Source, to_detail
from server.noted import note

__all__ = ["call_arguments", "chat_attachments", "file_source", "returned_source", "to_chat_messages"]

_TEXTS = (ChatCompletionRequestMessageContentPartText, ChatCompletionRequestMessageContentPartRefusal)
_KINDS: Mapping[type, Literal["audio", "image", "video"]] = {
    ChatCompletionRequestMessageContentPartAudio: "audio",
    ChatCompletionRequestMessageContentPartImage: "image",
    ChatCompletionRequestMessageContentPartVideo: "video",
}
_THOUGHTS = ("thinking", "reasoning", "reasoning_content")
"""Types of parts that are reasoning, and of the fields that have its text."""
_SOURCES: Mapping[str, Literal["data", "url", "id"]] = {"file_data": "data", "file_url": "url", "file_id": "id"}
"""The fields with a file, and what they hold. `file_url` is an extension."""
_OF_ASSISTANTS = ("tool_calls", "function_call", "refusal", "reasoning_content", "reasoning", "audio")


def to_chat_messages(
    messages: Sequence[ChatCompletionRequestMessage], seen: Seen = MappingProxyType({})
) -> list[ChatMessage]:
    """Translate turns. Chat templates read `developer` as `system`. `seen`: what `chat_attachments` names, as the
    model reads it.

    Raises:
        InvalidRequest: a turn lacks a field that its role requires.
        UnsupportedParameter: a turn holds content that this server cannot read: an image, audio, a file.
    """
    calls = _OpenCalls()
    return [_message(message, f"messages[{index}]", calls, seen) for index, message in enumerate(messages)]


def chat_attachments(messages: Sequence[ChatCompletionRequestMessage]) -> Iterator[Attachment]:
    """The pictures and files of the turns, except those of the assistant's. What tools returned is not required."""
    for index, message in enumerate(messages):
        if message.role == "assistant" or not isinstance(message.content, list):
            continue
        for place, part in enumerate(message.content):
            path, field = f"messages[{index}].content[{place}]", part.type
            required = message.role not in ("tool", "function")
            if required and isinstance(part, ChatCompletionRequestMessageContentPartFile):
                field, _ = file_source(part, path)
            if (source := returned_source(part)) is not None:
                yield Attachment(path, field, source, required)


def returned_source(part: ContentPart) -> Source | None:
    """Where a part's picture is, or its file. None: it is none, or the source of a file is not clear."""
    if isinstance(part, ChatCompletionRequestMessageContentPartFile):
        with suppress(InvalidRequest):
            return file_source(part, "")[1]
    if isinstance(part, ChatCompletionRequestMessageContentPartImage):
        image = ImageURL(url=part.image_url) if isinstance(part.image_url, str) else part.image_url
        return Source("url", image.url, detail=to_detail(image.detail))
    if isinstance(part, ChatCompletionRequestMessageContentPartVideo):
        return Source("url", part.video_url if isinstance(part.video_url, str) else part.video_url.url, kind="video")
    if isinstance(part, Other) and part.type == "image" and isinstance(data := part.fields.get("data"), str):
        return Source("data", data)  # as tools return them by the Model Context Protocol
    return None


class _OpenCalls:
    """The calls of the conversation that have no result yet, in order: their ids, and the names of their functions.

    Some clients leave ids out. A call without one gets one, and a result without one is that of the only open call.
    """

    def __init__(self) -> None:
        self._open: dict[str, list[str]] = {}
        """Names by id."""
        self._named: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """Ids by name."""
        self._made = 0

    def add(self, id: str | None, name: str) -> str:
        if not id:
            self._made += 1
            id = f"call_{self._made}"
        self._open.setdefault(id, []).append(name)
        self._named[name][id] = None
        return id

    def answered(self, message: ChatCompletionRequestMessage, path: str) -> str:
        """The id of the call whose result this turn is.

        Raises:
            InvalidRequest: the turn names no call, and there are several.
        """
        id = "" if message.tool_call_id is None else str(message.tool_call_id)
        if not id:
            fitting: Collection[str] = self._named.get(message.name or "") or self._open
            if message.role == "function" or not self._open:  # the call may have been cut from the history
                fitting = [next(iter(fitting), None) or self.add(None, message.name or "")]
            if len(fitting) != 1:
                known = ", ".join(repr(call) for call in islice(self._open, 8))
                what = f"required in a message of role {message.role!r}; the calls without a result are {known}"
                raise _invalid(f"{path}.tool_call_id", what)
            (id,) = fitting
        for name in self._open.pop(id, ()):
            self._named[name].pop(id, None)
        return id


def _message(message: ChatCompletionRequestMessage, path: str, calls: _OpenCalls, seen: Seen) -> ChatMessage:
    result = message.role in ("tool", "function")
    _check_role(message, path, result=result)
    made = [_made(call, f"{path}.tool_calls[{index}]", calls) for index, call in enumerate(message.tool_calls or [])]
    if message.function_call is not None:
        function = message.function_call
        made.append(_called(calls.add(None, function.name), function.name, call_arguments(function.arguments)))
    return ChatMessage(
        role="system" if message.role == "developer" else "tool" if result else message.role,
        content=_content(message, path, seen, called=bool(made)),
        name=message.name,
        tool_calls=made or None,
        tool_call_id=calls.answered(message, path) if result else None,
        reasoning_content=_reasoning(message),
    )


def _check_role(message: ChatCompletionRequestMessage, path: str, *, result: bool) -> None:
    """Check the fields that only some roles have. In other turns a template would drop them silently."""
    if not result and message.tool_call_id:
        raise _invalid(f"{path}.tool_call_id", "only a message of role 'tool' may have it")
    if message.role != "assistant":
        for name in _OF_ASSISTANTS:
            if getattr(message, name):
                raise _invalid(f"{path}.{name}", "only a message of role 'assistant' may have it")


def _content(message: ChatCompletionRequestMessage, path: str, seen: Seen, *, called: bool) -> Content | None:
    """The content of a turn. One of an assistant may have none: it was stopped, or ended within its reasoning."""
    content, result = message.content, message.role in ("tool", "function")
    if isinstance(content, str):
        return content
    if content is not None and not isinstance(content, list):
        if not result:
            raise _invalid(f"{path}.content", "expected a string or an array")
        return json.dumps(content, ensure_ascii=False)
    if content:
        if message.role == "assistant":
            texts = (_replayed(part, f"{path}.content[{index}]") for index, part in enumerate(content))
            return joined(filter(None, texts))
        read = _returned if result else _text
        return joined(
            piece
            for index, part in enumerate(content)
            for piece in _seen(part, seen) or (read(part, f"{path}.content[{index}]"),)
            if piece
        )
    if message.role == "assistant":
        return None if called and not message.refusal else message.refusal or ""
    if result:
        return ""
    raise _invalid(f"{path}.content", "required, but missing" if content is None else "must not be empty")


def _reasoning(message: ChatCompletionRequestMessage) -> str | None:
    """The reasoning of an assistant's turn, in a field of its own or in parts of the content."""
    given = message.reasoning if message.reasoning_content is None else message.reasoning_content
    if given is not None or not isinstance(message.content, list):
        return given
    thoughts = [part.fields.get(name) for part in message.content if isinstance(part, Other) for name in _THOUGHTS]
    return "\n".join(thought for thought in thoughts if isinstance(thought, str)) or None


def file_source(part: ChatCompletionRequestMessageContentPartFile, path: str) -> tuple[str, Source]:
    """The field of a part with the source of its file, and the source.

    Raises:
        InvalidRequest: there is none, or several.
    """
    given = {name: part.file[name] for name in (*_SOURCES, "filename") if part.file.get(name)}
    for name, value in given.items():
        if not isinstance(value, str):
            raise InvalidRequest(f"{path}.file.{name}: expected a text", param=f"{path}.file.{name}")
    filename = given.pop("filename", None)
    if len(given) != 1:
        raise InvalidRequest(f"{path}.file: one of file_data, file_url and file_id is required", param=f"{path}.file")
    ((field, value),) = given.items()
    return f"file.{field}", Source(_SOURCES[field], value, kind="file", name=filename)


def _seen(part: ContentPart, seen: Seen) -> Sequence[str | Part]:
    source = returned_source(part)
    return () if source is None else seen.get(source, ())


def _returned(part: ContentPart, path: str) -> str:
    """The text of what a tool returned."""
    if isinstance(part, _TEXTS):
        return _text(part, path)
    if not isinstance(part, Other):
        return placeholder(_KINDS.get(type(part), "file"), f"messages[].content[].{part.type}")
    if part.type == "image":
        return placeholder("image", f"messages[].content[].{part.type}")
    text = part.fields.get("text")
    return text if isinstance(text, str) else json.dumps({"type": part.type, **part.fields}, ensure_ascii=False)


def _replayed(part: ContentPart, path: str) -> str:
    """The text of a part of an assistant's turn, as other APIs write it. Parts of other types are skipped."""
    if not isinstance(part, Other):
        return _text(part, path)
    if part.type == "output_text":
        return str(part.fields.get("text") or "")
    if part.type not in _THOUGHTS:
        note(f"messages[].content[].{part.type}")
    return ""


def _text(part: ContentPart, path: str) -> str:
    if isinstance(part, Other):
        raise _invalid(
            f"{path}.type", "expected one of 'text', 'image_url', 'video_url', 'input_audio', 'file', 'refusal'"
        )
    if isinstance(part, ChatCompletionRequestMessageContentPartText):
        return part.text
    if isinstance(part, ChatCompletionRequestMessageContentPartRefusal):
        return part.refusal
    raise UnsupportedParameter(
        f"{path}: content of type {part.type!r} is not supported by this model; send text", param=f"{path}.type"
    )


def _made(call: EarlierToolCall, path: str, calls: _OpenCalls) -> dict[str, Any]:
    id = None if call.id is None else str(call.id)
    if call.function is not None:
        name, arguments = call.function.name, call_arguments(call.function.arguments)
    elif call.custom is not None:
        name, arguments = call.custom.name, {"input": call.custom.input}
    else:
        raise _invalid(f"{path}.function", "required, but missing")
    return _called(calls.add(id, name), name, arguments)


def _called(id: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def call_arguments(text: str) -> Any:
    """The arguments of an earlier call as an object, which chat templates expect.

    No text, `null` and `[]` are no arguments. Text that is no object, as of a turn that was cut off, stays text.
    """
    if not text.strip():
        return {}
    try:
        decoded = msgspec.json.decode(text)
        msgspec.msgpack.encode(decoded)  # a value that a frame cannot carry (integers over 64 bits) stays text as well
    except (ValueError, OverflowError, RecursionError):
        return text
    if decoded is None or decoded == []:  # PHP writes an empty object as an empty array
        return {}
    return decoded if isinstance(decoded, dict) else text


def _invalid(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {what}", param=path)
