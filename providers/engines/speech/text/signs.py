"""Signs in words, as a reader of English says them, and letters without marks that English does not know."""

from __future__ import annotations

import re
import unicodedata

from providers.engines.speech.markup.marks import is_note
from providers.engines.speech.text.letter_to_sound import plain_letters
from providers.engines.speech.text.mapped import Mapped

__all__ = ["signs_in_words"]

_SIGNS = {
    "&": " and ",
    "@": " at ",
    "+": " plus ",
    "=": " equals ",
    "<": " less than ",
    ">": " greater than ",
    "×": " times ",
    "÷": " divided by ",
    "±": " plus or minus ",
    "≈": " approximately ",
    "≠": " is not equal to ",
    "≤": " at most ",
    "≥": " at least ",
    "→": " to ",
    "⇒": " implies ",
    "√": " square root of ",
    "∞": " infinity ",
    "π": " pi ",
    "µ": " micro ",
    "°": " degrees ",
    "%": " percent ",
    "‰": " per mille ",
    "©": " copyright ",
    "§": " section ",
    "|": ", ",
    "/": " slash ",
    "$": " dollars ",
    "€": " euros ",
    "£": " pounds ",
    "¥": " yen ",
    "{": ", ",
    "}": ", ",
    "[": " (",
    "]": ") ",
    "²": " squared ",
    "³": " cubed ",
    "•": ", ",
    "−": " minus ",
    "←": " from ",
    "↔": " to and from ",
    "↑": " up ",
    "↓": " down ",
    "⇔": " if and only if ",
    "¢": " cents ",
    "₹": " rupees ",
    "№": " number ",
    "℃": " degrees Celsius ",
    "℉": " degrees Fahrenheit ",
    "∈": " in ",
    "∀": " for all ",
    "∃": " there is ",
    "∑": " sum ",
    "∫": " integral ",
    "∝": " is proportional to ",
    "∴": " therefore ",
}


_KEPT = frozenset(".,;:!?—…\"“”()'- \n")


_GREEK_WORD = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]{3,}")
"""Greek, and not symbols of formulas, which are read by their names."""

_RULES = [
    (re.compile(pattern), spoken)
    for pattern, spoken in (
        (r"(?<=\w)[`\u00b4](?=\w)", "'"),
        (r"(?<!<)<<++(?=\w)", " “"),
        (r"(?<=[\w.!?])>>+", "” "),
        (r"(?<=[A-Za-z])<(\w+(?:, ?\w+)*)>", r" of \1"),
        (r"<=", " at most "),
        (r">=", " at least "),
        (r"!==?", " is not equal to "),
        (r"={2,3}", " equals "),
        (r"&&", " and "),
        (r"\|\|", " or "),
        (r"\b([ACDFGJ])#(?!\w)", r"\1 sharp"),
        (r"#(?=[^\W_])", " hash "),
        (r"~(?=/)", " tilde "),
        (r"(?<=\w) \* (?=\w)", " times "),
        (r"(?<=[\w)]) ?\^ ?(?=[\w({])", " to the power of "),
        (r"(?<=[\w:])\\(?=\w)", " backslash "),
    )
]
"""What signs are where their neighbours decide it."""


def signs_in_words(text: Mapped) -> Mapped:
    """The text with signs in words, and without characters that English is not written with."""
    text = text.sub(_GREEK_WORD, lambda match: " " * len(match[0]))
    for pattern, spoken in _RULES:
        text = text.sub(pattern, spoken)
    return text.each(_said)


def _said(character: str) -> str:
    if character in _KEPT or is_note(character):
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    if character.isalpha():
        return _letter(character)
    return "" if unicodedata.combining(character) or unicodedata.category(character) == "Cf" else " "


def _letter(character: str) -> str:
    if character.isascii():
        return character
    plain = plain_letters(character.lower())
    if plain.isascii() and plain.isalpha():
        return character if "LATIN" in unicodedata.name(character, "") else plain
    name = unicodedata.name(character, "")
    # A Greek letter in an English text is a symbol that is read by its name.
    return f" {name.rsplit(' ', 1)[-1].lower()} " if name.startswith("GREEK") and "WITH" not in name else " "
