"""The lines of a text as paragraphs, headings, list items, quotations, table rows and code, without their marks.

Only marks that are unmistakable are taken out. A line that is none of these belongs to a paragraph, whatever it looks
like to a parser of Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from providers.engines.speech.markup.inline import BLOCK_TAGS
from providers.engines.speech.markup.marks import LINE_REST, PARAGRAPH_REST, Marks
from providers.engines.speech.text.mapped import Mapped

__all__ = ["Block", "blocks", "plain_blocks"]

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?=\S)")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:=[ \t]*){3,})")
_ATTRIBUTES = r"""(?:\s+[a-z-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'))*"""
_TAG = re.compile(rf"[ \t]*</?(?:{BLOCK_TAGS}){_ATTRIBUTES}\s*/?>[ \t]*", re.IGNORECASE)
"""A tag on a line of its own, whose other half may be in another block."""
_QUOTE = re.compile(r"[ \t]*>(?:[ \t]+|(?=[>\w])(?!\d)|$)")
_BULLET = re.compile(r"[ \t]*[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)")
_NUMBER = re.compile(r"[ \t]*(\d{1,9})[.)][ \t]+(?=\S)")
_TABLE_RULE = re.compile(r"[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)*[ \t]*:?-+:?[ \t]*\|?[ \t]*")
_GAP = re.compile(r"\n[^\S\n]*\n\s*")
_PIPE = re.compile(r"(?<!\\)\|")


@attrs.frozen
class Block:
    """A paragraph or the like. Lines of a paragraph are separated as in the input. `literal`: no marks are in it."""

    text: Mapped
    rest: float
    literal: bool = False


def plain_blocks(text: Mapped) -> Iterator[Block]:
    """The paragraphs of a plain text: an empty line ends one."""
    start = 0
    for gap in _GAP.finditer(text.text):
        yield Block(text[start : gap.start()], PARAGRAPH_REST, literal=True)
        start = gap.end()
    yield Block(text[start:], PARAGRAPH_REST, literal=True)


def blocks(text: Mapped, marks: Marks) -> Iterator[Block]:
    """The blocks of a text, without the marks at the beginnings of their lines, which are added to `marks`."""
    return _Lines(text, marks).blocks()


class _Lines:
    def __init__(self, text: Mapped, marks: Marks) -> None:
        self._text = text
        self._source = source = text.text
        self._marks = marks
        self._lines = list(_line_stretches(source))
        self._paragraph: list[Mapped] = []
        self._fence = ""
        self._in_table = False

    def blocks(self) -> Iterator[Block]:
        for number, (start, end) in enumerate(self._lines):
            yield from self._line(number, start, end)
        yield from self._ended()

    def _line(self, number: int, start: int, end: int) -> Iterator[Block]:
        line = self._source[start:end]
        if self._fence:
            yield from self._code(line, start, end)
        elif not line.strip():
            self._in_table = False
            yield from self._ended(PARAGRAPH_REST)
        elif (fence := _FENCE.match(line)) is not None:
            yield from self._ended(PARAGRAPH_REST)
            self._fence = fence[1]
            self._silence(start, end)
        elif _RULE.fullmatch(line) or _TAG.fullmatch(line):
            yield from self._ended(PARAGRAPH_REST)
            self._silence(start, end)
        elif (heading := _HEADING.match(line)) is not None:
            yield from self._ended(PARAGRAPH_REST)
            yield self._heading(start + heading.end(), start, end)
        elif (self._in_table and "|" in line) or self._begins_table(number):
            yield from self._ended(PARAGRAPH_REST)
            yield from self._row(start, end)
        else:
            self._in_table = False
            yield from self._words(start, end)

    def _code(self, line: str, start: int, end: int) -> Iterator[Block]:
        closing = line.strip()
        if closing.startswith(self._fence) and not closing.strip(self._fence[0]):
            self._fence = ""
            self._silence(start, end)
        elif closing:
            yield Block(self._text[start:end], LINE_REST, literal=True)

    def _heading(self, words: int, start: int, end: int) -> Block:
        self._silence(start, words)
        written = self._source[words:end].rstrip()
        title = written.rstrip("#")
        if title != written and title.endswith((" ", "\t")):
            self._silence(words + len(title), end)
            end = words + len(title)
        return Block(self._text[words:end], PARAGRAPH_REST)

    def _begins_table(self, number: int) -> bool:
        """Whether the line is the head of a table: the next one is the rule under it."""
        if number + 1 == len(self._lines) or "|" not in self._source[slice(*self._lines[number])]:
            return False
        rule = self._source[slice(*self._lines[number + 1])]
        self._in_table = "|" in rule and "-" in rule and _TABLE_RULE.fullmatch(rule) is not None
        return self._in_table

    def _row(self, start: int, end: int) -> Iterator[Block]:
        line = self._source[start:end]
        if _TABLE_RULE.fullmatch(line):
            self._silence(start, end)
            return
        cells, at = [], start
        for pipe in [*_PIPE.finditer(self._source, start, end), None]:
            border = end if pipe is None else pipe.start()
            cell = self._text[at:border].strip()
            if cell.text:
                cells.append(cell.ended(", "))
            at = border + 1
            if pipe is not None:
                self._silence(border, at)
        if cells:
            cells[-1] = cells[-1][: len(cells[-1]) - 2]
            yield Block(Mapped.joined(cells), LINE_REST)

    def _words(self, start: int, end: int) -> Iterator[Block]:
        """A line of a paragraph, or the first of a list item or quotation."""
        at = start
        label: list[Mapped] = []
        while True:
            if (mark := _QUOTE.match(self._source, at, end)) is not None:
                self._silence(at, mark.end())
            elif (mark := _BULLET.match(self._source, at, end)) is not None:
                yield from self._ended(LINE_REST)
                self._silence(at, mark.end())
            elif (mark := _NUMBER.match(self._source, at, end)) is not None:
                yield from self._ended(LINE_REST)
                label.append(self._text[mark.start(1) : mark.end(1)].ended(": "))
            else:
                break
            at = mark.end()
        if label or self._source[at:end].strip():
            self._paragraph.append(Mapped.joined([*label, self._text[at:end]]))
        else:
            yield from self._ended(PARAGRAPH_REST)

    def _ended(self, rest: float = PARAGRAPH_REST) -> Iterator[Block]:
        if self._paragraph:
            yield Block(Mapped.joined(line.ended("\n") for line in self._paragraph), rest)
            self._paragraph.clear()

    def _silence(self, start: int, end: int) -> None:
        if start < end:
            self._marks.silent.append(self._text.stretch(start, end))


def _line_stretches(source: str) -> Iterator[tuple[int, int]]:
    start = 0
    for line in source.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1
