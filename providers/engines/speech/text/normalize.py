"""English as it is read aloud: numbers, units, abbreviations, addresses and signs in words.

The result is letters and the punctuation that the voice knows, with single spaces between words. Emoji and letters of
scripts that English is not written in are left out.
"""

from __future__ import annotations

import re

from providers.engines.speech.markup.marks import NOTES, is_note
from providers.engines.speech.text import numbers
from providers.engines.speech.text.abbreviations import expanded
from providers.engines.speech.text.addresses import addresses_in_words
from providers.engines.speech.text.mapped import Mapped, Replacement
from providers.engines.speech.text.signs import signs_in_words

__all__ = ["has_words", "normalize", "sentences"]

_QUOTES = {"‘": "'", "’": "'", "‛": "'", "′": "'", "„": "“", "«": "“", "»": "”", "\u2039": "“", "\u203a": "”", "″": '"'}
_HYPHENS = {"\u2010": "-", "\u2011": "-"}
_WIDE = {"\uff0c": ",", "\u3001": ",", "\u3002": ".", "\uff01": "!", "\uff1f": "?", "\uff1a": ":", "\uff1b": ";"}
_PUNCTUATION = str.maketrans(_QUOTES | _HYPHENS | _WIDE)
_BLANKS = re.compile(r"\s+")
_DOTS = re.compile(r"\.{3,}")
_BOTH_WAYS = re.compile(r"<[-=]{1,3}>")
_RIGHT = re.compile(r"(?<![-=])[-=]++>")
_LEFT = re.compile(r"<-++(?!\d)")
_DASH = re.compile(r"\s*(?:(?<=\s)-{1,3}(?=\s)|(?<!-)--(?!-)|[–―])\s*(?!\d)")

_LONG_WORD = re.compile(r"\S{61,}")
"""A word that is too long for a sentence."""
_LONG_PART = 30
"""Letters of the parts in which it is read."""
_PART = re.compile(rf"\w{{1,{_LONG_PART}}}")

_SENTENCE = re.compile(r"(?<=[.!?…])[\"”')]*\s+(?=[\"“'(]*[^\W\d_a-z])")


def normalize(text: Mapped, *, british: bool = False) -> Mapped:
    """A paragraph in words. Empty where there is nothing to say. Characters that stand for words stay."""
    # The patterns of the other steps take quadratic time in a run of blanks.
    text = text.composed().translate(_PUNCTUATION).sub(_BLANKS, " ").strip()
    text = text.sub(_DOTS, "…")
    text = text.sub(_BOTH_WAYS, "↔").sub(_RIGHT, "→").sub(_LEFT, "←")
    text = text.sub(_DASH, " — ").replace("—", " — ")
    text = addresses_in_words(text)
    text = expanded(text).replace("and/or", "and or")
    text = numbers.to_words(text, british=british)
    return _tidy(signs_in_words(text))


def sentences(normalized: Mapped) -> list[Mapped]:
    """The sentences of a normalised paragraph, in order. Joined by spaces, they are the paragraph."""
    found = []
    start = 0
    for border in _SENTENCE.finditer(normalized.text):
        # Closing quotes and brackets belong to the sentence that they close.
        end = border.start() + len(border.group().rstrip())
        found.append(normalized[start:end].strip())
        start = border.end()
    found.append(normalized[start:].strip())
    return [sentence for sentence in found if has_words(sentence.text)]


def has_words(text: str) -> bool:
    return any(character.isalpha() or is_note(character) for character in text)


_TIDY: list[tuple[re.Pattern[str], str | Replacement]] = [
    (re.compile(pattern), spoken)
    for pattern, spoken in (
        (rf"(?<=[^\W_])(?=[{NOTES}])|(?<=[{NOTES}])(?=[^\W_])", " "),
        (r"[ \t]+", " "),
        (r" +([.,;:!?…)”])", r"\1"),
        (r"([(“]) +", r"\1"),
        (r"\( *\)|“ *”|\" *\"", ""),
        (r"(?<![^\W_])-+|-+(?![^\W_])", " "),  # a hyphen not between letters is no hyphen
        (r"(?:[,;:] *)+([.!?…])", r"\1"),
        (r"([,;:])(?: *[,;:])+", r"\1"),
        (r"([.!?])[.!?]*([.!?])", lambda match: _strongest(match.group())),
        (r"^[ .,;:!?…—)'-]+", ""),
        (rf"(?<=[,;:!?…)”])(?=[^\W\d_]|[{NOTES}])|(?<=[.,;:!?…])(?=\()", " "),
    )
]


def _tidy(text: Mapped) -> Mapped:
    for pattern, spoken in _TIDY:
        text = text.sub(pattern, spoken)
    for match in reversed(list(_LONG_WORD.finditer(text.text))):
        text = Mapped.joined((text[: match.start()], _broken(text[slice(*match.span())]), text[match.end() :]))
    text = text.sub(_BLANKS, " ").strip()
    return text if has_words(text.text) else Mapped.of("")


def _broken(word: Mapped) -> Mapped:
    """Divide a word that is too long for a sentence into parts."""
    parts = [word[slice(*part.span())].ended(" ") for part in _PART.finditer(word.text)]
    return Mapped.joined(parts)


def _strongest(marks: str) -> str:
    return "?" if "?" in marks else "!" if "!" in marks else "."
