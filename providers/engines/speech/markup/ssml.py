"""A small SSML: pauses, phonemes, substitutes, emphasis, and how to read numbers and letters.

Only an input that is one `<speak>` element is SSML. expat parses it and names the byte of every event. Declarations of
types and entities are refused, so that no entity can grow, and nothing outside the input is read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from xml.parsers import expat

import attrs

from providers.engines.speech.markup.blocks import Block
from providers.engines.speech.markup.marks import LINE_REST, PARAGRAPH_REST, Marks, Sound
from providers.engines.speech.markup.say_as import INTERPRETATIONS, said_as
from providers.engines.speech.text.mapped import Mapped
from providers.errors import InvalidRequest

__all__ = ["is_ssml", "ssml_blocks"]

_SPEAK = re.compile(r"\s*(?:<\?xml[^<>]*\?>\s*)?<speak[\s/>]")
_SPEAK_END = re.compile(r"</speak\s*>\s*$")
_TIME = re.compile(r"\+?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(ms|s)")
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 1.0, "x-strong": 1.5}
_LEVELS = {"none": 0.0, "reduced": -1.0, "moderate": 1.0, "strong": 2.0}
_ATTRIBUTES = {
    "break": {"time", "strength"},
    "phoneme": {"alphabet", "ph"},
    "say-as": {"interpret-as", "format", "detail"},
    "sub": {"alias"},
    "emphasis": {"level"},
    "p": set[str](),
    "s": set[str](),
}
"""Of each element that is supported inside `speak`."""
_REQUIRED = {"phoneme": {"ph"}, "say-as": {"interpret-as"}, "sub": {"alias"}}
_VALUES = {
    "strength": tuple(_STRENGTHS),
    "level": tuple(_LEVELS),
    "alphabet": ("ipa", "x-misaki"),
    "interpret-as": tuple(INTERPRETATIONS),
}
_DEEPEST = 50
_LINE_END = {ord("\n"): " "}


def is_ssml(text: str) -> bool:
    """Whether the whole input is a `<speak>` element, well-formed or not."""
    return _SPEAK.match(text) is not None and _SPEAK_END.search(text[-200:]) is not None


def ssml_blocks(text: Mapped, marks: Marks, *, english: bool) -> Iterator[Block]:
    """The paragraphs and sentences of a document.

    Raises:
        InvalidRequest: the document is not well-formed, or has an element or a value that is not supported.
    """
    return iter(_Reader(text, marks, english=english).blocks())


@attrs.define
class _Element:
    name: str
    attributes: dict[str, str]
    start: int
    """Offset of its tag."""
    begun: int
    """How many parts its paragraph had before it."""


class _Reader:
    """Handles the events of expat. Offsets are those of the text's characters."""

    def __init__(self, text: Mapped, marks: Marks, *, english: bool) -> None:
        self._text = text
        self._marks = marks
        self._english = english
        self._blocks: list[Block] = []
        self._parts: list[Mapped] = []
        self._open: list[_Element] = []
        self._offsets = _byte_offsets(text.text)
        self._event: tuple[int, str | None] = (0, None)
        """The start of the last event and its characters, None for a tag. It ends where the next event starts."""

    def blocks(self) -> list[Block]:
        parser = expat.ParserCreate("UTF-8")
        handlers: dict[str, Callable[..., None]] = {
            "StartElement": self._start,
            "EndElement": self._end,
            "CharacterData": self._characters,
            "Default": self._other,
            "StartDoctypeDecl": self._declaration,
            "EntityDecl": self._declaration,
        }
        for event, handle in handlers.items():
            setattr(parser, f"{event}Handler", self._handler(parser, handle))
        try:
            parser.Parse(self._text.text.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            at = self._place(self._character(parser.ErrorByteIndex))
            raise _refused(f"the SSML is not well-formed at position {at}: {expat.ErrorString(error.code)}") from None
        self._finish(len(self._text))
        self._end_block(PARAGRAPH_REST)
        return self._blocks

    def _handler(self, parser: expat.XMLParserType, handle: Callable[..., None]) -> Callable[..., None]:
        def handler(*values: object) -> None:
            at = self._character(parser.CurrentByteIndex)
            self._finish(at)
            handle(at, *values)

        return handler

    def _finish(self, end: int) -> None:
        """Complete the last event, which ends here."""
        start, characters = self._event
        self._event = (end, None)
        if start == end:
            return
        if characters is None:
            self._marks.silent.append(self._text.stretch(start, end))
        elif end - start == len(characters):
            self._parts.append(self._text[start:end].translate(_LINE_END))
        else:  # an entity stands for other characters than it is written with
            stretch = self._text.stretch(start, end)
            self._marks.silent.append(stretch)
            self._parts.append(Mapped.made_of(characters, *stretch))

    def _start(self, at: int, name: str, attributes: dict[str, str]) -> None:
        self._check(name, attributes, at)
        if name in ("p", "s"):
            self._end_block(LINE_REST)
        self._open.append(_Element(name, attributes, at, len(self._parts)))
        if name == "break":
            pause = self._marks.pause(self._seconds(attributes, at), self._place(at))
            self._parts.append(Mapped.made_of(pause, *self._text.stretch(at, at + 1)))

    def _end(self, _: int, name: str) -> None:
        element = self._open.pop()
        inner = Mapped.joined(self._parts[element.begun :])
        if name in ("p", "s"):
            self._end_block(PARAGRAPH_REST if name == "p" else LINE_REST)
        elif name in ("phoneme", "sub", "say-as"):
            del self._parts[element.begun :]
            self._parts.append(self._spoken(element, inner))
        elif name == "emphasis" and inner.text.strip():
            level = _LEVELS[element.attributes.get("level", "moderate")]
            self._marks.stress(*inner.stretch(0, len(inner)), level)

    def _characters(self, at: int, characters: str) -> None:
        self._event = (at, characters)

    def _other(self, *_: object) -> None:
        """A comment, an instruction, or the declaration of XML."""

    def _declaration(self, at: int, *_: object) -> None:
        raise _refused(f"the SSML declares a type or an entity at position {self._place(at)}, which is not allowed")

    def _spoken(self, element: _Element, inner: Mapped) -> Mapped:
        """What is said for the text in an element."""
        if not inner.text.strip():
            raise _refused(f"<{element.name}> at position {self._place(element.start)} has no text")
        first, last = inner.stretch(0, len(inner))
        if element.name == "say-as":
            return said_as(inner, element.attributes, self._marks, english=self._english)
        if element.name == "sub":
            return Mapped.made_of(f" {element.attributes['alias']} ", first, last)
        at = self._place(element.start)
        note = self._marks.note(Sound(inner.text.strip(), element.attributes["ph"], position=at))
        return Mapped.made_of(note, first, last)

    def _end_block(self, rest: float) -> None:
        text = Mapped.joined(self._parts)
        self._parts.clear()
        for element in self._open:
            element.begun = 0
        if text.text.strip():
            self._blocks.append(Block(text, rest, literal=True))

    def _check(self, name: str, attributes: dict[str, str], at: int) -> None:
        place = f"<{name}> at position {self._place(at)}"
        if not self._open:
            return  # `speak`, whose attributes are those of its version and language
        if name not in _ATTRIBUTES:
            raise _refused(f"{place} is not supported; supported are {', '.join(sorted(_ATTRIBUTES))}")
        unknown = sorted(attributes.keys() - _ATTRIBUTES[name])
        if unknown:
            raise _refused(f"{place} has the attribute {unknown[0]}, which is not supported")
        missing = sorted(_REQUIRED.get(name, set()) - attributes.keys())
        if missing:
            raise _refused(f"{place} lacks the attribute {missing[0]}")
        for attribute, values in _VALUES.items():
            if attribute in attributes and attributes[attribute] not in values:
                raise _refused(f"{place} has {attribute}={attributes[attribute]!r}; supported are {', '.join(values)}")
        if len(self._open) >= _DEEPEST:
            raise _refused(f"{place} is in more than {_DEEPEST} elements")

    def _seconds(self, attributes: dict[str, str], at: int) -> float:
        if "time" not in attributes:
            return _STRENGTHS[attributes.get("strength", "medium")]
        time = _TIME.fullmatch(attributes["time"].strip())
        if time is None:
            raise _refused(
                f"<break> at position {self._place(at)} has time={attributes['time']!r}; expected a time like '500ms' "
                "or '1.5s'"
            )
        return float(time[1]) / (1000 if time[2] == "ms" else 1)

    def _character(self, byte: int) -> int:
        return max(0, bisect_right(self._offsets, byte) - 1)

    def _place(self, at: int) -> int:
        """The offset in the input."""
        return self._text.starts[at] if at < len(self._text) else self._text.ends[-1]


def _byte_offsets(text: str) -> Sequence[int]:
    """Where each character begins in UTF-8, and where the text ends."""
    if text.isascii():
        return range(len(text) + 1)
    return list(accumulate((len(character.encode("utf-8", "replace")) for character in text), initial=0))


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(f"input: {reason}", param="input")
