"""The input of custom tools, read from the arguments of the functions that stand for them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from providers.chat.types import GenerationEvent, ToolCallDelta
from server.api.responses.tools import INPUT, OfferedTools

__all__ = ["custom_inputs"]

_BEFORE = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
_COMPLETE = re.compile(
    r"""(?: [^"\\]
          | \\ ["\\/bfnrt]
          | \\u (?![dD][89a-fA-F]) [0-9a-fA-F]{4}
          | \\u [dD][89abAB] [0-9a-fA-F]{2} \\u [dD][c-fC-F] [0-9a-fA-F]{2}
        )*""",
    re.VERBOSE,
)
"""Whole characters inside a JSON string. A surrogate waits for its other half."""


async def custom_inputs(
    events: AsyncGenerator[GenerationEvent, None], offered: OfferedTools
) -> AsyncGenerator[GenerationEvent, None]:
    """The same events; the arguments of a custom tool's call are its input."""
    reading: _Reading | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ToolCallDelta) and event.name is not None and offered.origin(event.name).is_custom:
                if reading is not None:
                    yield reading.rest()
                reading = _Reading(event.call)
                yield ToolCallDelta(event.call, reading.read(event.arguments), event.id, event.name, event.tokens)
            elif reading is None:
                yield event
            elif isinstance(event, ToolCallDelta) and event.call == reading.call:
                yield ToolCallDelta(event.call, reading.read(event.arguments), tokens=event.tokens)
            else:
                yield reading.rest()
                reading = None
                yield event


class _Reading:
    """The input of one call, decoded as its JSON arrives."""

    def __init__(self, call: int) -> None:
        self.call = call
        self._json = ""
        self._read = 0
        """Characters of the JSON that are decoded. 0: the input has not begun."""
        self._text = ""

    def read(self, json_: str) -> str:
        """The text that is complete with this JSON."""
        self._json += json_
        if not self._read:
            begun = _BEFORE.match(self._json)
            if begun is None:
                return ""
            self._read = begun.end()
        found = _COMPLETE.match(self._json, self._read)
        assert found is not None
        self._read = found.end()
        text: str = json.loads(f'"{found[0]}"', strict=False)
        self._text += text
        return text

    def rest(self) -> ToolCallDelta:
        """What the end of the call adds. Arguments without an input are the input themselves."""
        whole = _whole(self._json)
        if whole is None:
            whole = self._text if self._read else self._json
        return ToolCallDelta(self.call, whole.removeprefix(self._text), tokens=0)


def _whole(arguments: str) -> str | None:
    """The input in whole arguments; None, if there is not just one text in them."""
    try:
        decoded = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    texts = [value for value in decoded.values() if isinstance(value, str)]
    given = decoded.get(INPUT)
    return given if isinstance(given, str) else texts[0] if len(texts) == len(decoded) == 1 else None
