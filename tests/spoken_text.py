"""What is said of a text, for tests and measurements that compare words."""

from __future__ import annotations

from providers.engines.speech.markup.document import passages
from providers.engines.speech.markup.marks import Marks
from providers.engines.speech.text import normalize as english

__all__ = ["normalize", "sentences"]


def normalize(text: str, *, british: bool = False) -> str:
    """The text in words. Each line is a paragraph, a heading, or the like."""
    lines = [english.normalize(passage.text, british=british).text for passage in passages(text, None, Marks())]
    return "\n".join(line for line in lines if line)


def sentences(text: str, *, british: bool = False) -> list[str]:
    """The sentences of a text, in words."""
    return [
        sentence.text
        for passage in passages(text, None, Marks())
        for sentence in english.sentences(english.normalize(passage.text, british=british))
    ]
