"""Generated output, as the items of a response, and each step of it as an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import attrs

from contracts.responses.events import (
    FileSearchStep,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCustomToolCallInputDeltaEvent,
    ResponseCustomToolCallInputDoneEvent,
    ResponseFileSearchCallEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseStreamEvent,
    ResponseTextAnnotationAddedEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from contracts.responses.items import (
    CustomToolCall,
    FileCitation,
    FileSearchCall,
    FileSearchResult,
    FunctionToolCall,
    ItemStatus,
    LogProb,
    OutputItem,
    OutputMessage,
    OutputTextContent,
    ReasoningItem,
    ReasoningTextContent,
    TopLogProb,
)
from providers.chat.types import FinishReason, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from providers.errors import InternalError
from server.api.generation.logprobs import finite_logprob
from server.api.grounding.citations import Marks
from server.api.responses.conversation import encrypted, item_id
from server.api.responses.hosted.searched import citation
from server.api.responses.tools import OfferedTools
from server.serialization import converter

__all__ = ["Delta", "OpenItem", "OutputFold", "delta_event", "delta_text"]

Delta = TextDelta | ReasoningDelta | ToolCallDelta
ItemType = Literal["message", "reasoning", "function_call", "custom_tool_call"]

_ITEM_TYPES: Mapping[type, ItemType] = {TextDelta: "message", ReasoningDelta: "reasoning"}


@attrs.define(kw_only=True)
class OpenItem:
    """The item to which deltas are appended."""

    type: ItemType
    id: str
    index: int
    call: ToolCallDelta | None = None
    """The delta that began a call."""
    pieces: list[str] = attrs.field(factory=list)
    logprobs: list[TokenLogprob] = attrs.field(factory=list)
    marks: Marks[FileSearchResult] = attrs.field(factory=lambda: Marks(()))
    citations: list[FileCitation] = attrs.field(factory=list)
    announced: int = 0
    """The number of citations that have their event."""


class OutputFold:
    """Collects deltas in items. One item is open at a time; a delta of another item closes it.

    Events are numbered as they are created, so a caller that sends one event must send all of them.
    """

    def __init__(self, response_id: str, offered: OfferedTools | None = None, *, encrypt: bool = False) -> None:
        self._response_id = response_id
        self._offered = offered or OfferedTools()
        self._encrypt = encrypt
        self._open: OpenItem | None = None
        self._done: list[OutputItem] = []
        self._citable: Sequence[FileSearchResult] = ()
        self._sequence = 0

    @property
    def items(self) -> list[OutputItem]:
        """The items so far. An open item is incomplete."""
        return [*self._done, *([self._item(self._open, "incomplete")] if self._open else [])]

    def number(self) -> int:
        """The next event's `sequence_number`."""
        self._sequence += 1
        return self._sequence - 1

    def searched(self, call: FileSearchCall | None, citable: Sequence[FileSearchResult]) -> list[ResponseStreamEvent]:
        """Begin the output with a search, if there was one. Returns its events. Texts may cite what is `citable`."""
        self._citable = citable
        if call is None:
            return []
        id, index = call.id or "", len(self._done)
        self._done.append(call)
        begun = attrs.evolve(call, status="in_progress", results=None)
        return [
            ResponseOutputItemAddedEvent(output_index=index, item=begun, sequence_number=self.number()),
            *(
                ResponseFileSearchCallEvent(
                    type=step,
                    item_id=id,
                    output_index=index,
                    sequence_number=self.number(),
                )
                for step in get_args(FileSearchStep)
            ),
            ResponseOutputItemDoneEvent(output_index=index, item=call, sequence_number=self.number()),
        ]

    def add(self, delta: Delta) -> list[ResponseStreamEvent]:
        """Add a delta. Returns the events that it causes.

        Raises:
            InternalError: the delta is part of a function call that has ended or never began.
        """
        if _is_empty(delta):
            return []
        events = self.place(delta)
        opened = self.append(delta)
        if delta_text(delta) or isinstance(delta, TextDelta):
            events.append(delta_event(delta, opened, self.number()))
        return events + self.cited()

    def place(self, delta: Delta) -> list[ResponseStreamEvent]:
        """Open the delta's item. Returns the events of closing another item and opening this one."""
        if self.fits(delta):
            return []
        call = delta if isinstance(delta, ToolCallDelta) else None
        if call is not None and (call.name is None or call.id is None):
            raise InternalError(f"function call {call.call} continued without a beginning")
        return [*self._close("completed"), *self._begin(self._type(delta), call)]

    def append(self, delta: Delta) -> OpenItem:
        """Append the delta's content to the open item, which `place` has chosen."""
        assert self._open is not None
        self._open.pieces.append(delta_text(delta))
        if isinstance(delta, TextDelta) and delta.logprobs:
            self._open.logprobs.extend(delta.logprobs)
        if self._citable and isinstance(delta, TextDelta):
            self._open.citations += map(citation, self._open.marks.add(delta.text))
        return self._open

    def cited(self) -> list[ResponseStreamEvent]:
        """The events of the citations that the open item's last deltas completed."""
        opened = self._open
        if opened is None:
            return []
        begin, opened.announced = opened.announced, len(opened.citations)
        return [
            ResponseTextAnnotationAddedEvent(
                item_id=opened.id,
                output_index=opened.index,
                content_index=0,
                annotation_index=index,
                annotation=opened.citations[index],
                sequence_number=self.number(),
            )
            for index in range(begin, opened.announced)
        ]

    def finish(self, reason: FinishReason) -> list[ResponseStreamEvent]:
        """End the output. Returns the events that this causes. Output without any delta becomes an empty text."""
        answered = self._open or any(not isinstance(item, FileSearchCall) for item in self._done)
        begun = [] if answered else self._begin("message", None)
        return [*begun, *self._close("incomplete" if reason == "length" else "completed")]

    def close(self) -> tuple[list[ResponseStreamEvent], int]:
        """End the open item, if there is one. Returns the events that this causes, and the place of the next item."""
        return self._close("completed"), len(self._done)

    def put(self, index: int, item: OutputItem) -> None:
        """Have a whole item at this place, which is the next or that of an item before."""
        self._done[index:] = [item]

    def fits(self, delta: Delta) -> bool:
        """Whether the delta belongs to the open item."""
        opened = self._open
        if isinstance(delta, ToolCallDelta):
            return opened is not None and opened.call is not None and opened.call.call == delta.call
        return opened is not None and opened.type == _ITEM_TYPES[type(delta)]

    def _type(self, delta: Delta) -> ItemType:
        if isinstance(delta, ToolCallDelta):
            return "custom_tool_call" if self._offered.origin(delta.name or "").is_custom else "function_call"
        return _ITEM_TYPES[type(delta)]

    def _begin(self, type_: ItemType, call: ToolCallDelta | None) -> list[ResponseStreamEvent]:
        index = len(self._done)
        id, marks = item_id(type_, self._response_id, index), Marks(self._citable)
        opened = OpenItem(type=type_, id=id, index=index, call=call, marks=marks)
        self._open = opened
        added = ResponseOutputItemAddedEvent(
            output_index=index, item=self._item(opened, "in_progress"), sequence_number=self.number()
        )
        if call is not None:
            return [added]
        part: OutputTextContent | ReasoningTextContent = (
            OutputTextContent(type="output_text", text="")
            if type_ == "message"
            else ReasoningTextContent(type="reasoning_text", text="")
        )
        return [
            added,
            ResponseContentPartAddedEvent(
                item_id=opened.id, output_index=index, content_index=0, part=part, sequence_number=self.number()
            ),
        ]

    def _close(self, status: ItemStatus) -> list[ResponseStreamEvent]:
        """End the open item, if there is one."""
        if self._open is None:
            return []
        opened, self._open = self._open, None
        item = self._item(opened, status)
        self._done.append(item)
        return [
            *self._content_done(opened, item),
            ResponseOutputItemDoneEvent(output_index=opened.index, item=item, sequence_number=self.number()),
        ]

    def _content_done(self, opened: OpenItem, item: OutputItem) -> list[ResponseStreamEvent]:
        if isinstance(item, FunctionToolCall):
            return [
                ResponseFunctionCallArgumentsDoneEvent(
                    item_id=opened.id,
                    output_index=opened.index,
                    name=item.name,
                    arguments=item.arguments,
                    sequence_number=self.number(),
                )
            ]
        if isinstance(item, CustomToolCall):
            return [
                ResponseCustomToolCallInputDoneEvent(
                    item_id=opened.id, output_index=opened.index, input=item.input, sequence_number=self.number()
                )
            ]
        done: ResponseTextDoneEvent | ResponseReasoningTextDoneEvent
        part: OutputTextContent | ReasoningTextContent
        text = "".join(opened.pieces)
        if isinstance(item, ReasoningItem):
            part = ReasoningTextContent(type="reasoning_text", text=text)
            done = ResponseReasoningTextDoneEvent(
                item_id=opened.id, output_index=opened.index, content_index=0, text=text, sequence_number=self.number()
            )
        else:
            assert isinstance(item, OutputMessage)
            part = item.content[0]
            done = ResponseTextDoneEvent(
                item_id=opened.id,
                output_index=opened.index,
                content_index=0,
                text=text,
                logprobs=_logprobs(opened.logprobs, with_bytes=False),
                sequence_number=self.number(),
            )
        return [done, self._part_done(opened, part)]

    def _part_done(
        self, opened: OpenItem, part: OutputTextContent | ReasoningTextContent
    ) -> ResponseContentPartDoneEvent:
        return ResponseContentPartDoneEvent(
            item_id=opened.id, output_index=opened.index, content_index=0, part=part, sequence_number=self.number()
        )

    def _item(self, opened: OpenItem, status: ItemStatus) -> OutputItem:
        """The open item in its current state. A new item has no content yet."""
        begun = status == "in_progress"
        text = "".join(opened.pieces)
        if opened.call is not None:
            return self._call(opened, opened.call, text, status)
        if opened.type == "reasoning":
            return ReasoningItem(
                type="reasoning",
                id=opened.id,
                content=[] if begun else [ReasoningTextContent(type="reasoning_text", text=text)],
                encrypted_content=encrypted(text) if self._encrypt and not begun else None,
                status=status,
            )
        part = OutputTextContent(
            type="output_text",
            text=text,
            annotations=[converter.unstructure(each) for each in opened.citations],
            logprobs=_logprobs(opened.logprobs, with_bytes=True),
        )
        return OutputMessage(type="message", id=opened.id, status=status, content=[] if begun else [part])

    def _call(
        self, opened: OpenItem, call: ToolCallDelta, text: str, status: ItemStatus
    ) -> FunctionToolCall | CustomToolCall:
        origin = self._offered.origin(call.name or "")
        id, call_id, name, namespace = opened.id, call.id or "", origin.name, origin.namespace
        if opened.type == "custom_tool_call":
            return CustomToolCall(
                type="custom_tool_call",
                id=id,
                call_id=call_id,
                name=name,
                input=text,
                status=status,
                namespace=namespace,
            )
        return FunctionToolCall(
            type="function_call",
            id=id,
            call_id=call_id,
            name=name,
            arguments=text,
            status=status,
            namespace=namespace,
        )


def delta_text(delta: Delta) -> str:
    """The text that a delta adds."""
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def _is_empty(delta: Delta) -> bool:
    """Whether a delta neither adds content nor begins an item. Such a delta must not close the open item."""
    if delta_text(delta):
        return False
    return not delta.logprobs if isinstance(delta, TextDelta) else not isinstance(delta, ToolCallDelta) or not delta.id


def delta_event(
    delta: Delta, opened: OpenItem, sequence_number: int
) -> (
    ResponseTextDeltaEvent
    | ResponseReasoningTextDeltaEvent
    | ResponseFunctionCallArgumentsDeltaEvent
    | ResponseCustomToolCallInputDeltaEvent
):
    """The event of a delta's content in the item that it belongs to."""
    item_id, output_index = opened.id, opened.index
    if isinstance(delta, ToolCallDelta) and opened.type == "custom_tool_call":
        return ResponseCustomToolCallInputDeltaEvent(
            item_id=item_id, output_index=output_index, delta=delta.arguments, sequence_number=sequence_number
        )
    if isinstance(delta, ToolCallDelta):
        return ResponseFunctionCallArgumentsDeltaEvent(
            item_id=item_id, output_index=output_index, delta=delta.arguments, sequence_number=sequence_number
        )
    if isinstance(delta, ReasoningDelta):
        return ResponseReasoningTextDeltaEvent(
            item_id=item_id,
            output_index=output_index,
            content_index=0,
            delta=delta.text,
            sequence_number=sequence_number,
        )
    return ResponseTextDeltaEvent(
        item_id=item_id,
        output_index=output_index,
        content_index=0,
        delta=delta.text,
        logprobs=_logprobs(delta.logprobs or [], with_bytes=False),
        sequence_number=sequence_number,
    )


def _logprobs(tokens: list[TokenLogprob], *, with_bytes: bool) -> list[LogProb]:
    return [
        LogProb(
            token=token.token,
            logprob=finite_logprob(token.logprob),
            bytes=[*token.raw] if with_bytes else None,
            top_logprobs=[
                TopLogProb(token=text, logprob=finite_logprob(logprob), bytes=[*raw] if with_bytes else None)
                for text, raw, logprob in token.top
            ],
        )
        for token in tokens
    ]
