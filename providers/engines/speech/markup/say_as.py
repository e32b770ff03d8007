"""SSML's `say-as`: text rewritten so that the normalisation reads it as the client wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from num2words import num2words

from providers.engines.speech.markup.marks import Marks, Sound
from providers.engines.speech.text.mapped import Mapped
from providers.engines.speech.text.numbers import MONTHS

__all__ = ["INTERPRETATIONS", "said_as"]

_NAMES = {"-": "dash", ".": "dot", "/": "slash", "_": "underscore", ":": "colon", "#": "number", "*": "star"}
_NUMBER = re.compile(r"\d+")
_INTEGER = re.compile(r"[+-]?\d+")


def said_as(text: Mapped, attributes: Mapping[str, str], marks: Marks, *, english: bool) -> Mapped:
    """The text as the attributes `interpret-as` and `format` of `say-as` want it."""
    interpretation = attributes["interpret-as"]
    if interpretation in ("characters", "spell-out", "verbatim"):
        return text.each(lambda character: _spelled(character, marks, english=english))
    if interpretation in ("digits", "telephone"):
        return text.each(lambda character: _digit(character, english=english))
    rewrite = INTERPRETATIONS[interpretation]
    if rewrite is None or not english:
        return text
    new = rewrite(text.text.strip(), attributes.get("format", ""))
    return text if new is None else Mapped.made_of(f" {new} ", *text.stretch(0, len(text)))


def _spelled(character: str, marks: Marks, *, english: bool) -> str:
    if character.isspace():
        return ", "
    if english and character in "aA":
        return f" {marks.note(Sound('A', 'ˈA'))} "  # as a word it is the article
    if english and character.isdecimal():
        return f" {num2words(int(character))} "
    return f" {_NAMES.get(character, character.upper()) if english else character} "


def _digit(character: str, *, english: bool) -> str:
    if english and character.isdecimal():
        return f" {num2words(int(character))} "
    if character.isalnum() or character == "+":
        return f" {character} "
    return ", " if character in "-./()" else " "


def _cardinal(text: str, _: str) -> str | None:
    """With a comma between thousands, so that it is not a year."""
    return f"{int(text):,}" if _INTEGER.fullmatch(text) and len(text) <= 15 else None


def _ordinal(text: str, _: str) -> str | None:
    if not _INTEGER.fullmatch(text) or len(text) > 15:
        return None
    number = abs(int(text))
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _date(text: str, order: str) -> str | None:
    """A date of numbers, whose order `format` names: `mdy`, `dm` and so on."""
    numbers = _NUMBER.findall(text)
    if not order or len(numbers) != len(order) or not set(order) <= set("ymd") or len(set(order)) != len(order):
        return None
    parts = dict(zip(order, numbers, strict=True))
    if not 1 <= int(parts.get("m", 1)) <= 12:
        return None
    month = MONTHS[int(parts["m"]) - 1] if "m" in parts else ""
    day, year = parts.get("d", "").lstrip("0"), parts.get("y", "")
    if "m" in parts and "d" in parts:
        return f"{month} {day}, {year}" if year else f"{month} {day}"
    return " ".join(part for part in (month, day, year) if part)


INTERPRETATIONS: dict[str, Callable[[str, str], str | None] | None] = {
    "characters": None,
    "spell-out": None,
    "verbatim": None,
    "digits": None,
    "telephone": None,
    "cardinal": _cardinal,
    "number": _cardinal,
    "ordinal": _ordinal,
    "date": _date,
    "time": None,
    "fraction": None,
    "unit": None,
    "currency": None,
}
"""The values of `interpret-as`. Where there is no function, the text is read as it would be without."""
