"""The stage of the output parser that reads an answer which is, as a whole, the JSON object of a call.

Some models leave the markers of a call out, or write a code block in their place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from providers.chat.types import Tool
from providers.engines.output.call_detection import MAX_CALL_CHARACTERS, CallArguments, CallPart, CallStart
from providers.engines.output.json_stream import JsonCall

__all__ = ["BareCall"]

_FENCE = re.compile(r"```(?:json)?\s*")


class BareCall:
    """Holds an answer back while it may still be `{"name": …, "arguments": {…}}` of a tool, and nothing else."""

    __slots__ = ("_begun", "_call", "_fenced", "_held", "_length", "_tail", "_tools", "is_open")

    def __init__(self, tools: Sequence[Tool]) -> None:
        """`tools`: those that may be called so. A strict one may not, since no grammar held its arguments."""
        self._tools = frozenset(tool.name for tool in tools if not tool.strict)
        self._call = JsonCall()
        self._held: list[str] = []
        self._length = 0
        self._begun = False
        """The object has begun."""
        self._fenced = False
        self._tail = ""
        """Text after the object."""
        self.is_open = bool(self._tools)
        """The answer so far may be such an object."""

    def feed(self, text: str) -> str:
        """Read more content. Returns the text that is content after all."""
        self._held.append(text)
        self._length += len(text)
        if not self._begun:
            text = self._begin("".join(self._held))
        used = self._call.feed(text) if self._begun else 0
        if self._call.done:
            self._tail += text[used:]
        return "" if self._may_go_on() else self.release()

    def release(self) -> str:
        """What was held back: it is content. If that is nothing, the object may still come."""
        text = "".join(self._held)
        self._held.clear()
        self.is_open = self.is_open and not text
        return text

    def finish(self, *, cut: bool) -> tuple[Sequence[CallPart], str]:
        """The answer has ended; `cut` if by its length. Returns the call and its parts, whole or cut; or the content
        that it is instead."""
        call = self._call
        if not self.is_open or call.name is None or not call.keys >= {"name", "arguments"}:
            return (), self.release()
        if not (call.end(cut=cut) or (cut and call.has_arguments)):
            return (), self.release()
        self._held.clear()
        self.is_open = False
        return (CallStart(call.name), CallArguments(call.take())), ""

    def _begin(self, text: str) -> str:
        """The text from the object's bracket on, if that is the next thing in the answer."""
        text = text.lstrip()
        fence = _FENCE.match(text)
        body = text[fence.end() :] if fence else text
        self._begun = body.startswith("{")
        self._fenced = fence is not None
        if not self._begun and not (self._fenced and not body) and not "```json".startswith(text):
            self._call.failed = True
        return body

    def _may_go_on(self) -> bool:
        call, tail = self._call, self._tail.strip()
        if call.failed or self._length > MAX_CALL_CHARACTERS or not call.keys <= {"name", "arguments"}:
            return False
        if call.name is not None and call.name not in self._tools:
            return False
        if call.done and "arguments" not in call.keys:
            return False
        return not tail or (self._fenced and "```".startswith(tail))
