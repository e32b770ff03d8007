"""The blocks of a text that is known to be Markdown, as a parser of CommonMark finds them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from providers.engines.speech.markup.blocks import Block
from providers.engines.speech.markup.marks import LINE_REST, PARAGRAPH_REST, Marks
from providers.engines.speech.text.mapped import Mapped

__all__ = ["markdown_blocks"]


def markdown_blocks(text: Mapped, marks: Marks) -> tuple[frozenset[str], Iterator[Block]]:
    """The labels of links that the text defines, and its blocks.

    The parser knows the lines of a block, and what each has after the marks of lists and quotations. What no block has
    is silent.
    """
    environment: dict[str, Any] = {}
    tokens = _parser().parse(text.text, environment)
    labels = frozenset(label.casefold() for label in environment.get("references", ()))
    return labels, _Blocks(text, marks).of(tokens)


class _Blocks:
    def __init__(self, text: Mapped, marks: Marks) -> None:
        self._text = text
        self._marks = marks
        self._starts = [0]
        for line in text.text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._at = 0
        """Up to here, the text is in blocks, or silent."""

    def of(self, tokens: list[Any]) -> Iterator[Block]:
        numbers: list[Any] = []
        in_item = in_row = 0
        for token in tokens:
            in_item += token.nesting if token.type.startswith("list_item") else 0
            in_row += token.nesting if token.type.startswith("tr_") else 0
            if token.type == "list_item_open" and token.info:
                numbers.append(token)
            elif token.type == "inline":
                label = [found for number in numbers if (found := self._number(number)) is not None]
                numbers.clear()
                if (words := self._located(token)) is not None:
                    rest = LINE_REST if in_item or in_row else PARAGRAPH_REST
                    yield Block(Mapped.joined([*label, words]), rest)
            elif token.type in ("fence", "code_block"):
                for line in token.content.split("\n"):
                    if line.strip() and (code := self._found(line, token.map)) is not None:
                        yield Block(code, LINE_REST, literal=True)
            elif token.type == "html_block" and (words := self._located(token)) is not None:
                yield Block(words, PARAGRAPH_REST)
        self._silence(len(self._text))

    def _number(self, item: Any) -> Mapped | None:
        found = self._found(item.info, item.map)
        return None if found is None else found.ended(": ")

    def _located(self, token: Any) -> Mapped | None:
        """The lines of a block, without the marks before them."""
        lines = [found for line in token.content.split("\n") if (found := self._found(line, token.map)) is not None]
        return Mapped.joined(line.ended("\n") for line in lines) if lines else None

    def _found(self, line: str, lines: list[int] | None) -> Mapped | None:
        """Where the characters are, in these lines of the text, after those that were found before."""
        line = line.strip()
        if not line or lines is None:
            return None
        start = max(self._at, self._starts[lines[0]])
        end = self._starts[min(lines[1], len(self._starts) - 1)]
        at = self._text.text.find(line, start, end)
        if at < 0:
            line = line.replace("|", "\\|")  # as it is written in a table
            at = self._text.text.find(line, start, end)
        if at < 0:
            return None
        self._silence(at)
        self._at = at + len(line)
        return self._text[at : self._at]

    def _silence(self, end: int) -> None:
        if self._at < end:
            self._marks.silent.append(self._text.stretch(self._at, end))


@lru_cache(maxsize=1)
def _parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
