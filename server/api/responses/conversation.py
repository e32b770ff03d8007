"""Items of a conversation: with ids for the store, and as the turns that chat templates read."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from contracts.responses.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FileSearchCall,
    FunctionCallOutput,
    FunctionToolCall,
    ImageGenerationCall,
    InputAudioContent,
    InputContent,
    InputFileContent,
    InputImageContent,
    InputItem,
    InputMessage,
    InputTextContent,
    ItemReference,
    OtherItem,
    OutputTextContent,
    ReasoningItem,
    RefusalContent,
    ReturnedContent,
    StoredItem,
)
from providers.chat.types import ChatMessage
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.messages import call_arguments
from server.api.generation.unread import placeholder
from server.api.responses.foreign import as_calls, returned
from server.api.responses.hosted.image_calls import with_image_calls
from server.api.responses.hosted.searched import blocks
from server.api.responses.parts import UNREAD, content_text, kind, picture_source, to_content
from server.api.responses.tools import INPUT, prompt_name
from server.media.attachments import Seen
from server.noted import note

__all__ = [
    "encrypted",
    "input_items",
    "item_id",
    "message_text",
    "references",
    "response_of",
    "to_turns",
]

Call = FunctionToolCall | CustomToolCall
Output = FunctionCallOutput | CustomToolCallOutput

_OURS = (InputTextContent, *UNREAD, OutputTextContent, RefusalContent)

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "file_search_call": "fs",
    "image_generation_call": "ig",
}


def item_id(type_: str, response_id: str, index: int) -> str:
    """The id of an item without one. It is unique wherever the response's id is, and stable."""
    return f"{_PREFIXES[type_]}_{response_id.removeprefix('resp_')}{index:04x}"


def response_of(item_id: str) -> str:
    """The id of the response whose item has this id."""
    return f"resp_{item_id.partition('_')[2][:-4]}"


def encrypted(thought: str) -> str:
    """Reasoning as `encrypted_content`. The text is only encoded: the answer contains it in clear as well."""
    return base64.b64encode(thought.encode()).decode()


def references(items: str | Sequence[InputItem] | None) -> list[str]:
    """The ids of stored items that the input refers to."""
    return [item.id for item in items or [] if isinstance(item, ItemReference)]


def input_items(
    given: str | Sequence[InputItem] | None,
    referred: dict[str, StoredItem],
    *,
    response_id: str,
    pictures: bool = False,
) -> list[StoredItem]:
    """The input as it is stored: every item has an id, texts are parts, and references are replaced by their items.

    Items of other servers' tools become calls and outputs of functions, or are skipped, as is a search whose results
    neither the input nor `referred` has. Output items are numbered from
    0, and input items from 2**15. `pictures`: the model reads them.

    Raises:
        InvalidRequest: an item lacks a required field.
        UnsupportedParameter: a message holds content that this server cannot read: an image, audio, a file. In the
            output of a tool, the model reads a placeholder instead.
    """
    if isinstance(given, str):
        given = [InputMessage(role="user", content=given)]
    items: list[StoredItem] = []
    for index, item in enumerate(given or []):
        number = 2**15 + index
        if isinstance(item, ItemReference):
            items.append(referred[item.id])
        elif isinstance(item, FileSearchCall) and item.results is None:
            items += _recalled(item, referred)
        elif isinstance(item, ImageGenerationCall) and not item.revised_prompt:
            note(f"input[].{item.type}")  # of another server: the model could not know what it shows
        elif isinstance(item, OtherItem):
            items += as_calls(item, item_id("function_call", response_id, number), pictures=pictures)
        else:
            _check(item, f"input[{index}]", pictures)
            items.append(_stored(item, item.id or item_id(item.type, response_id, number), pictures))
    return items


def to_turns(
    items: Sequence[StoredItem], *, instructions: str | None, seen: Seen = MappingProxyType({})
) -> list[ChatMessage]:
    """A conversation as chat templates read it. They read `developer` as `system`. `seen`: the pictures that the model
    reads; `[image]` stands in the place of others.

    Reasoning, the text after it and the calls after that form one turn of the assistant, as the model generated them.
    A call that was never answered, as of an interrupted turn, has an empty output, and an output without a call is a
    turn of the user. A conversation without turns is an empty one of the user. The passages of a search stand in front
    of the user's turn before it.
    """
    turns: list[ChatMessage] = []
    draft = _Draft()
    items = with_image_calls(items)
    answers, passages = _Answers(items), blocks(items)
    if instructions is not None:
        turns.append(ChatMessage(role="system", content=instructions))
    for place, item in enumerate(items):
        if isinstance(item, FileSearchCall):
            continue
        if draft.closed_by(item):
            turns += draft.turns()
            draft = _Draft()
        if isinstance(item, FunctionCallOutput | CustomToolCallOutput):
            turns.append(_output_turn(item, answers.call(place), seen))
        elif isinstance(item, InputMessage) and item.role != "assistant":
            role = "system" if item.role == "developer" else item.role
            content = to_content(item.content, seen)
            turns.append(
                ChatMessage(role=role, content=passages[place].before(content) if place in passages else content)
            )
        else:
            draft.add(item, answered=answers.has(place))
    if draft:
        turns += draft.turns()
    return turns or [ChatMessage(role="user", content="")]


def message_text(item: StoredItem) -> str:
    """The text of a turn, without its files and pictures. Empty: the item is none."""
    if not isinstance(item, InputMessage):
        return ""
    content = item.content
    if not isinstance(content, list):
        return content_text(content)
    return content_text(
        [part for part in content if isinstance(part, InputAudioContent) or not isinstance(part, UNREAD)]
    )


def _recalled(call: FileSearchCall, referred: Mapping[str, StoredItem]) -> list[StoredItem]:
    """The search as it is stored, or nothing."""
    stored = referred.get(call.id or "")
    if isinstance(stored, FileSearchCall):
        return [stored]
    note(f"input[].{call.type}")
    return []


def _output_turn(output: Output, call: str | None, seen: Seen) -> ChatMessage:
    content = to_content(output.output, seen)
    return ChatMessage(role="user" if call is None else "tool", content=content, tool_call_id=call)


class _Answers:
    """Which call each output answers: the first one before it that has its id and no answer yet."""

    def __init__(self, items: Sequence[StoredItem]) -> None:
        waiting: defaultdict[str | None, deque[int]] = defaultdict(deque)
        self._calls: dict[int, str] = {}
        self._answered: set[int] = set()
        for place, item in enumerate(items):
            if isinstance(item, FunctionToolCall | CustomToolCall):
                waiting[item.call_id].append(place)
            elif isinstance(item, FunctionCallOutput | CustomToolCallOutput) and waiting[item.call_id]:
                self._answered.add(waiting[item.call_id].popleft())
                self._calls[place] = item.call_id or ""

    def has(self, place: int) -> bool:
        """Whether the call at this place has an output."""
        return place in self._answered

    def call(self, place: int) -> str | None:
        """The id of the call that the output at this place answers."""
        return self._calls.get(place)


class _Draft:
    """A turn of the assistant that is being assembled."""

    def __init__(self) -> None:
        self._thoughts: list[str] = []
        self._text: str | None = None
        self._calls: list[dict[str, Any]] = []
        self._unanswered: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._thoughts or self._calls) or self._text is not None

    def closed_by(self, item: StoredItem) -> bool:
        """Whether the item belongs to the next turn. A turn has reasoning, then a text, then calls."""
        if not self:
            return False
        if isinstance(item, ReasoningItem):
            return bool(_thought(item)) and (self._text is not None or bool(self._calls))
        if isinstance(item, InputMessage) and item.role == "assistant":
            return self._text is not None or bool(self._calls)
        return not isinstance(item, FunctionToolCall | CustomToolCall)

    def add(self, item: StoredItem, *, answered: bool) -> None:
        if isinstance(item, ReasoningItem):
            self._thoughts += filter(None, [_thought(item)])
        elif isinstance(item, FunctionToolCall | CustomToolCall):
            id = item.call_id or ""
            function = {"name": prompt_name(item.name, item.namespace), "arguments": _arguments(item)}
            self._calls.append({"id": id, "type": "function", "function": function})
            if not answered:
                self._unanswered.append(id)
        elif isinstance(item, InputMessage):
            self._text = content_text(item.content)

    def turns(self) -> Iterator[ChatMessage]:
        """The turn, and an empty output of each call that has none."""
        yield ChatMessage(
            role="assistant",
            content=self._text if self._text is not None or self._calls else "",
            tool_calls=self._calls or None,
            reasoning_content="\n".join(self._thoughts) or None,
        )
        for id in self._unanswered:
            yield ChatMessage(role="tool", content="", tool_call_id=id)


def _arguments(call: Call) -> Any:
    return {INPUT: call.input} if isinstance(call, CustomToolCall) else call_arguments(call.arguments)


def _check(item: StoredItem, path: str, pictures: bool) -> None:
    if isinstance(item, InputMessage):
        if item.content is None and item.role != "assistant":
            raise InvalidRequest(f"{path}.content: required, but missing", param=f"{path}.content")
        if item.content == [] and item.role != "assistant":
            raise InvalidRequest(f"{path}.content: must not be empty", param=f"{path}.content")
        _check_parts(item.content, f"{path}.content", spoken=item.role == "assistant", pictures=pictures)
    elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        _note_unread(item.output, pictures)
    elif isinstance(item, ReasoningItem) and item.encrypted_content and not _thought(item):
        note("input[].encrypted_content")


def _note_unread(output: Any, pictures: bool) -> None:
    for part in output if isinstance(output, list) else []:
        if isinstance(part, UNREAD) and not (_is_read(part, pictures) and _has_source(part)):
            placeholder(kind(part), f"input[].output[].{part.type}")


def _check_parts(content: str | list[InputContent] | None, path: str, *, spoken: bool, pictures: bool) -> None:
    if not isinstance(content, list):
        return
    for index, part in enumerate(content):
        place = f"{path}[{index}].type"
        if isinstance(part, OutputTextContent | RefusalContent):
            if not spoken:
                raise InvalidRequest(f"{place}: only content of the assistant may have type {part.type!r}", param=place)
        elif not spoken and _is_read(part, pictures):
            continue
        elif not isinstance(part, InputTextContent):
            raise UnsupportedParameter(
                f"{place}: content of type {part.type!r} is not supported by this model; send text", param=place
            )


def _is_read(part: InputContent, pictures: bool) -> bool:
    if isinstance(part, InputImageContent):
        return pictures
    if isinstance(part, InputAudioContent):
        return part.transcript is not None
    return isinstance(part, InputFileContent) and (pictures or _has_text(part))


def _has_source(part: InputContent) -> bool:
    """Whether there is anything to read: a text, or a source that is clear."""
    return not isinstance(part, InputImageContent | InputFileContent) or _has_text(part) or bool(picture_source(part))


def _has_text(part: InputContent) -> bool:
    return isinstance(part, InputFileContent) and part.text is not None


def _stored(item: StoredItem, id: str, pictures: bool) -> StoredItem:
    """The item in the form of this server's own."""
    if isinstance(item, InputMessage):
        item = attrs.evolve(item, content=_parts(item))
    elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        item = attrs.evolve(item, output=_output(item.output, pictures), call_id=item.call_id or "")
    elif isinstance(item, FunctionToolCall | CustomToolCall):
        item = attrs.evolve(item, call_id=item.call_id or "")
    elif isinstance(item, ReasoningItem):
        item = attrs.evolve(item, summary=item.summary or [])
    return attrs.evolve(item, id=id, status="completed")  # input items have no other status


def _output(output: Any, pictures: bool) -> str | list[ReturnedContent | str]:
    """What a tool returned, as texts where it is not content of ours or, if the model reads them, a picture."""
    if isinstance(output, list):
        return [_returned(_plain(part), pictures) for part in output]
    found = returned(output, pictures=pictures)
    return found if isinstance(found, str) else [*found]


def _returned(part: Any, pictures: bool) -> InputContent:
    if isinstance(part, _OURS):
        return _kept(part)
    found = returned(part, pictures=pictures)
    return _as_text(found) if isinstance(found, str) else found[0]


def _plain(part: Any) -> Any:
    """The part, if it is text, in this API's form."""
    return _as_text(part.text) if isinstance(part, InputTextContent) else part


def _as_text(text: str) -> InputTextContent:
    return InputTextContent(type="input_text", text=text)


def _parts(message: InputMessage) -> list[InputContent]:
    content = message.content
    if isinstance(content, list):
        return [_kept(part) for part in map(_plain, content)]
    if message.role == "assistant":
        return [OutputTextContent(type="output_text", text=content)] if content is not None else []
    return [InputTextContent(type="input_text", text=content or "")]


def _kept(part: InputContent) -> InputContent:
    """The part without what is empty, and without a recording and the source of a file that is read."""
    if isinstance(part, OutputTextContent):
        return attrs.evolve(part, annotations=part.annotations or [])
    if isinstance(part, InputFileContent) and part.text is not None:
        return attrs.evolve(part, file_data=None)
    if isinstance(part, InputAudioContent):
        return attrs.evolve(part, input_audio=None)
    return part


def _thought(item: ReasoningItem) -> str:
    """The reasoning text, or its encoded form or summary where the text is missing. Other servers' encrypted content is
    none."""
    if item.content:
        return "\n".join(part.text for part in item.content)
    if item.encrypted_content:
        try:
            return base64.b64decode(item.encrypted_content, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            pass
    return "\n".join(part.text for part in item.summary or [])
