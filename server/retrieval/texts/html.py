"""The text of an HTML page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["html_text"]

_SILENT = frozenset({"script", "style", "template", "noscript", "svg"})
_BLOCK_NAMES = (
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr li main nav ol option p pre section table td th title tr ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")
_ENDS = re.compile(r" ?\n ?")
_LINES = re.compile(r"\n{2,}")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def html_text(page: str) -> str:
    """The words of a page, with a line for each block, and without scripts and styles."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return _LINES.sub("\n\n", _ENDS.sub("\n", _SPACES.sub(" ", "".join(reader.parts)))).strip()
