"""What the normalisation of every language but English has in common."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from providers.engines.speech.markup.marks import is_note
from providers.engines.speech.text.mapped import Mapped

__all__ = ["Rule", "in_words", "sentences_of"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_BLANKS = re.compile(r"\s+")
_DOTS = re.compile(r"\.{3,}")
_DASH = re.compile(r"(?<=\s)-{1,3}(?=\s)|(?<!-)--(?!-)")
_ENDED = re.compile(r"(?<=[।॥。！？])\.")
"""The full stop that a paragraph gets whose own is not that of English."""
_REPEATED = re.compile(r"([!?！？])[!?！？]+")
_BORDER = re.compile(
    r"(?<=[.!?…।॥])[\"”»’')]*\s+(?=[^\Wa-zà-öø-ÿ]|[\"“«¿¡(‘—])"  # before a capital letter or one without case
    r"|(?<=[。！？])[」』”’）)]*(?![。！？」』”’）)])"
)


def in_words(text: Mapped, rules: Iterable[Rule], scripts: Sequence[str]) -> Mapped:
    """A paragraph with single blanks, after the rules, without letters of other scripts than these."""
    text = text.composed().sub(_BLANKS, " ").strip()
    text = text.sub(_ENDED, "").sub(_DOTS, "…").sub(_DASH, "—").sub(_REPEATED, lambda match: _strongest(match[0]))
    for pattern, spell in rules:
        text = text.sub(pattern, spell)
    prefixes = tuple(scripts)
    return text.each(lambda character: character if _is_written(character, prefixes) else " ").sub(_BLANKS, " ").strip()


def sentences_of(text: Mapped) -> list[Mapped]:
    """The sentences of a paragraph that have a letter or a digit."""
    found: list[Mapped] = []
    start = 0
    for border in _BORDER.finditer(text.text):
        # Closing quotes and brackets belong to the sentence that they close.
        end = border.start() + len(border.group().rstrip())
        found.append(text[start:end].strip())
        start = border.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if any(map(str.isalnum, sentence.text))]


def _is_written(character: str, scripts: tuple[str, ...]) -> bool:
    if character.isascii() or is_note(character):
        return True
    name = unicodedata.name(character, "")
    if character.isalpha() or unicodedata.category(character) in ("Mn", "Mc"):
        return name.startswith(scripts) or name.startswith("COMBINING")
    return True


def _strongest(marks: str) -> str:
    return "?" if "?" in marks or "\uff1f" in marks else "!"
