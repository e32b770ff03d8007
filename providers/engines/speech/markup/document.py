"""The passages of an input: its paragraphs and the like, without marks, cut at pauses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from providers.engines.speech.markup.blocks import Block, blocks, plain_blocks
from providers.engines.speech.markup.commonmark import markdown_blocks
from providers.engines.speech.markup.inline import lines_joined, spoken_text
from providers.engines.speech.markup.marks import NOTES, PAUSES, Marks, Passage
from providers.engines.speech.markup.ssml import is_ssml, ssml_blocks
from providers.engines.speech.text.mapped import Mapped
from providers.speech.types import InputFormat

__all__ = ["passages"]

_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and movements of a terminal
    r"|\x1b\][^\x07\x1b\x9c]{0,4000}(?:\x07|\x1b\\|\x9c)"  # its titles and links
    r"|\x1b[()*+][0-9A-Za-z]"
    r"|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
)
_LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_RESERVED = re.compile(f"[{NOTES}{PAUSES}]")
_PAUSE = re.compile(f"[{PAUSES}]")
_ENDS = frozenset(".!?…:;,—\"”'")
"""Marks after which a passage needs none."""


def passages(source: str, input_format: InputFormat | None, marks: Marks, *, english: bool = True) -> Iterator[Passage]:
    """The passages of an input, in order. What is not said is added to `marks`.

    Args:
        english: whether dates and numbers may be rewritten as English writes them.

    Raises:
        InvalidRequest: a mark of SSML is not well-formed or not supported, or a pause is too long.
    """
    text = _cleaned(source, marks)
    references = None
    if input_format == "text":
        found: Iterator[Block] = plain_blocks(text)
    elif is_ssml(text.text):
        found = ssml_blocks(text, marks, english=english)
    elif input_format == "markdown":
        references, found = markdown_blocks(text, marks)
    else:
        found = blocks(text, marks)
    for block in found:
        words = lines_joined(block.text) if block.literal else spoken_text(block.text, marks, references)
        yield from _cut(words, block.rest, marks)


def _cleaned(source: str, marks: Marks) -> Mapped:
    """The input without control characters, with one kind of line ends, and without the characters that marks need."""
    text = Mapped.of(source)
    marks.silent += [match.span() for match in _CONTROL.finditer(source)]
    return text.sub(_CONTROL, "").sub(_LINE_ENDS, "\n").sub(_RESERVED, " ")


def _cut(text: Mapped, rest: float, marks: Marks) -> Iterator[Passage]:
    start = 0
    for pause in _PAUSE.finditer(text.text):
        yield Passage(_ended(text[start : pause.start()], ","), marks.seconds(pause[0]), pauses=True)
        start = pause.end()
    words = _ended(text[start:], ".")
    if words.text:
        yield Passage(words, rest)


def _ended(text: Mapped, mark: str) -> Mapped:
    """End a passage with punctuation: it is a sentence, or a part of one."""
    text = text.strip()
    return text if not text.text or text.text[-1] in _ENDS else text.ended(mark)
