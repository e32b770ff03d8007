"""The content of a turn, from its parts."""

from __future__ import annotations

from collections.abc import Iterable

from providers.chat.types import Content, ImagePart, TextPart

__all__ = ["joined"]


def joined(parts: Iterable[str | TextPart | ImagePart]) -> Content:
    """The parts as a template reads them: texts that follow each other have a line each. Without pictures the content
    is a string."""
    found: list[TextPart | ImagePart] = []
    for part in parts:
        if isinstance(part, ImagePart):
            found.append(part)
            continue
        text = part if isinstance(part, str) else part.text
        if found and isinstance(found[-1], TextPart):
            text = f"{found.pop().text}\n{text}"  # type: ignore[union-attr]
        found.append(TextPart(text))
    if all(isinstance(part, TextPart) for part in found):
        return found[0].text if found else ""  # type: ignore[union-attr]
    return found
