"""The stage of the output parser that reads tool calls, from the marker that may open one until it is or is not a
call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from providers.chat.types import Tool
from providers.engines.output.call_parsers import read_calls
from providers.engines.output.json_stream import JsonCall
from providers.engines.output.markup import ToolFormat

__all__ = ["CallArguments", "CallPart", "CallReader", "CallStart", "Candidate", "Step", "make_candidate"]

MAX_CALL_CHARACTERS = 1 << 20
"""Markup that is longer and has not become a call is text."""
_OPENING_WINDOW = 512

ParserTools = Mapping[str, Mapping[str, Any]]


class CallStart(msgspec.Struct, gc=False):
    """A call of this function begins."""

    name: str


class CallArguments(msgspec.Struct, gc=False):
    """More of the arguments of the last call that began."""

    text: str


CallPart = CallStart | CallArguments


class Step(msgspec.Struct):
    """What a piece of text made of a candidate.

    `more`: it may still become a call, or is one that goes on. `call`: it ended as a whole call, or several. `broken`:
    it ended as a call that is not whole. `cut`: the answer was cut inside what may have become one, which is dropped
    where no part of it has left. `text`: it was no call. `rest`: text to be read as content; after `text` that is all
    since the opening marker.
    """

    verdict: Literal["more", "call", "broken", "cut", "text"]
    rest: str = ""
    parts: Sequence[CallPart] = ()


class CallReader:
    """Reads the calls of one answer."""

    __slots__ = ("_candidate", "_format", "_parallel", "_tools", "broken", "is_open", "marker", "started")

    def __init__(self, format: ToolFormat | None, tools: Sequence[Tool], *, parallel: bool = True) -> None:
        """`tools`: what may be called. `parallel`: False reports only the first of several calls."""
        self._format = format
        self._tools = {tool.name: _for_parser(tool) for tool in tools}
        self._parallel = parallel
        self._candidate: Candidate | None = None
        self.is_open = False
        """A marker may have opened a call that is neither whole nor known to be text."""
        self.marker = ""
        """The last marker passed to `open`."""
        self.started = False
        """A call has begun."""
        self.broken = False
        """A call that has begun is not whole."""

    def open(self, marker: str) -> None:
        assert self._format is not None
        self._candidate = make_candidate(self._format, self._tools)
        self.is_open, self.marker = True, marker

    def feed(self, text: str) -> Step:
        """Read more text after the marker. Any verdict but `more` closes the reader."""
        assert self._candidate is not None
        return self._noted(self._candidate.feed(text))

    def finish(self, *, cut: bool) -> Step:
        """The answer has ended; `cut` if by its length. The verdict is never `more`."""
        assert self._candidate is not None
        return self._noted(self._candidate.finish(cut=cut))

    def _noted(self, step: Step) -> Step:
        if step.parts:
            self.started = True
            if not self._parallel:
                step.parts = _first_call(step.parts)
        if step.verdict != "more":
            self._candidate, self.is_open = None, False
            self.broken = self.broken or step.verdict in ("broken", "cut")
        return step


def _first_call(parts: Sequence[CallPart]) -> Sequence[CallPart]:
    starts = [at for at, part in enumerate(parts) if isinstance(part, CallStart)]
    return parts[: starts[1]] if len(starts) > 1 else parts


def _for_parser(tool: Tool) -> dict[str, Any]:
    """A tool in the form that mlx-lm's parsers read, without properties that are not objects: those make them fail."""
    properties = (tool.parameters or {}).get("properties")
    sound = {k: v for k, v in properties.items() if isinstance(v, dict)} if isinstance(properties, dict) else {}
    return {"type": "function", "function": {"name": tool.name, "parameters": {"properties": sound}}}


class Candidate(Protocol):
    """Text after a marker that may have opened a call."""

    def feed(self, text: str) -> Step:
        """Read more text. Any verdict but `more` is the last."""
        ...

    def finish(self, *, cut: bool) -> Step:
        """The answer has ended; `cut` if by its length. The verdict is never `more`."""
        ...


def make_candidate(format: ToolFormat, tools: ParserTools) -> Candidate:
    """`tools`: the functions that may be called, by name, in OpenAI's form."""
    return _JsonCandidate(format, tools) if format.is_json else _MarkupCandidate(format, tools)


class _JsonCandidate:
    """`{"name": …, "arguments": {…}}`: certain once it has a known name, and its object of arguments has begun.

    It ends with its last bracket; the end marker after that is left to the caller. Once the name has left, nothing
    can be taken back: if the rest is not JSON the verdict is `broken`, and text follows from there.
    """

    def __init__(self, format: ToolFormat, tools: ParserTools) -> None:
        self._end = format.end
        self._tools = tools
        self._call = JsonCall()
        self._certain = False
        self._seen: list[str] = []
        self._length = 0
        self._held = ""
        """Text that may become the end marker, after text that is not JSON."""

    def feed(self, text: str) -> Step:
        text, self._held = self._held + text, ""
        used = self._call.feed(text)
        rest = text[used:]
        if not self._certain:
            self._seen.append(text[:used])
            self._length += used
            if self._hopeless():
                return self._text(rest)
        if self._call.done:
            return Step("call", rest, self._parts())
        if not self._call.failed:
            return Step("more", parts=self._parts())
        if len(rest) < len(self._end) and self._end.startswith(rest):
            self._held = rest
            return Step("more", parts=self._parts())
        if rest.startswith(self._end) and self._call.end(cut=False) and not self._hopeless():
            return Step("call", rest, self._parts())
        return self._broken(rest)

    def finish(self, *, cut: bool) -> Step:
        if self._call.end(cut=cut) and not self._hopeless():
            return Step("call", "", self._parts())
        if self._call.failed or not (self._certain or cut):
            return self._broken(self._held)
        left = self._call.take() + self._call.literal if self._certain else ""
        return Step("cut" if cut else "broken", "", _arguments(left))

    def _hopeless(self) -> bool:
        unknown = self._call.name is not None and self._call.name not in self._tools
        return unknown or self._length > MAX_CALL_CHARACTERS

    def _broken(self, rest: str) -> Step:
        parts = self._parts()
        return Step("broken", self._call.literal + rest, parts) if self._certain else self._text(rest)

    def _text(self, rest: str) -> Step:
        return Step("text", "".join(self._seen) + rest)

    def _parts(self) -> Sequence[CallPart]:
        if self._certain:
            return _arguments(self._call.take())
        if self._call.name is None or not self._call.has_arguments:
            return ()
        self._certain = True
        self._seen.clear()
        return _begun(self._call.name, self._call.take())


def _begun(name: str, arguments: str) -> tuple[CallPart, ...]:
    return (CallStart(name), *_arguments(arguments))


def _arguments(text: str) -> tuple[CallArguments, ...]:
    return (CallArguments(text),) if text else ()


class _MarkupCandidate:
    """Any other markup: mlx-lm's parser reads it once its end marker has come.

    It is given up early if it does not begin like a call of a known tool, or if another call begins inside it.
    """

    def __init__(self, format: ToolFormat, tools: ParserTools) -> None:
        self._format = format
        self._tools = tools
        self._markers = [marker for marker in (format.end, format.start) if marker]
        self._overlap = max(len(marker) for marker in self._markers) - 1
        self._openings = tuple(
            "".join(opening.replace("NAME", name).split()) for opening in format.openings for name in tools
        )
        self._opened = not format.openings
        self._parts: list[str] = []
        self._length = 0
        self._tail = ""

    def feed(self, text: str) -> Step:
        window = self._tail + text
        found = min((at for marker in self._markers if (at := window.find(marker)) >= 0), default=-1)
        self._parts.append(text)
        if found >= 0:
            return self._close(self._length - len(self._tail) + found)
        self._length += len(text)
        self._tail = window[-self._overlap :] if self._overlap else ""
        if not self._may_open() or self._length - self._overlap > MAX_CALL_CHARACTERS:
            return Step("text", "".join(self._parts))
        return Step("more")

    def finish(self, *, cut: bool) -> Step:
        body = "".join(self._parts)
        markers = self._markers if cut else [self._format.end]
        partial = max(_overlap(body, marker) for marker in markers)
        calls = self._unclosed(body[: len(body) - partial], cut=cut)
        if calls:
            return Step("call", parts=_all(calls))
        return Step("cut") if cut else Step("text", body)

    def _close(self, at: int) -> Step:
        """Act on a marker at this position of the text so far: the end marker, or the start of another call."""
        text = "".join(self._parts)
        body, rest = text[:at], text[at:]
        end = self._format.end
        if at > MAX_CALL_CHARACTERS or not (self._opened or self._begins_well(body)):
            return Step("text", text)
        if end and rest.startswith(end):
            calls = read_calls(body, self._read, self._tools)
            rest = rest[len(end) :]
        else:
            calls = self._unclosed(body, cut=False)
        return Step("call", rest, _all(calls)) if calls else Step("text", text)

    def _unclosed(self, body: str, *, cut: bool) -> list[tuple[str, str]] | None:
        """The calls in markup that lacks its end marker, and nothing else."""
        if not (self._opened or self._begins_well(body)) or (cut and not self._format.proves):
            return None
        whole = not self._format.last or body.rstrip().endswith(self._format.last)
        return read_calls(body, self._read, self._tools) if whole else None

    def _read(self, body: str, tools: Sequence[Mapping[str, Any]]) -> Any:
        assert self._format.parse is not None
        return self._format.parse(body, tools)

    def _may_open(self) -> bool:
        if not self._opened:
            text = "".join(self._parts)
            self._opened = _squeezed(text).startswith(self._openings)
            return self._opened or self._begins_well(text)
        return True

    def _begins_well(self, text: str) -> bool:
        squeezed = _squeezed(text)
        if squeezed.startswith(self._openings):
            return True
        return len(text) < _OPENING_WINDOW and any(opening.startswith(squeezed) for opening in self._openings)


def _overlap(text: str, marker: str) -> int:
    """How many characters at the end of the text begin the marker."""
    return next((n for n in range(len(marker) - 1, 0, -1) if text.endswith(marker[:n])), 0)


def _all(calls: Sequence[tuple[str, str]]) -> list[CallPart]:
    return [part for name, arguments in calls for part in _begun(name, arguments)]


def _squeezed(text: str) -> str:
    return "".join(text[:_OPENING_WINDOW].split())
