"""Web and e-mail addresses in words."""

from __future__ import annotations

import re

from providers.engines.speech.text.mapped import Mapped

__all__ = ["addresses_in_words"]

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"“”]*[^\s<>\"“”.,;:!?)'\]]", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![@\w.])(?:[a-z0-9-]+\.)+(?:com|org|net|io|ai|dev|edu|gov|co|uk|de|fr|eu|app|info|me|tv)\b(?:/[\w./-]*\w)?",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?:[\w-]+\.)+[a-z]{2,}", re.IGNORECASE)
_BEGINNING = re.compile(r"(?:https?://)?(?:www\.)?", re.IGNORECASE)
_SIGNS = {
    ".": " dot ",
    "/": " slash ",
    "-": " dash ",
    "_": " underscore ",
    "@": " at ",
    "+": " plus ",
    "?": " question mark ",
    "=": " equals ",
    "&": " and ",
    "#": " hash ",
    ":": " colon ",
    "%": " percent ",
}


def addresses_in_words(text: Mapped) -> Mapped:
    """The text with its addresses in words, without `https://` and `www.`."""
    for pattern in (_EMAIL, _URL, _DOMAIN):
        text = text.sub(pattern, _Address(text))
    return text


class _Address:
    def __init__(self, text: Mapped) -> None:
        self._text = text

    def __call__(self, match: re.Match[str]) -> Mapped:
        beginning = _BEGINNING.match(match[0])
        silent = beginning.end() if beginning else 0
        if not any(map(str.isalnum, match[0][silent:])):
            silent = 0
        said = self._text[match.start() + silent : match.end()].each(lambda character: _SIGNS.get(character, character))
        start, starts = self._text.starts[match.start()], said.starts
        first = next((at for at, character in enumerate(said.text) if character.isalnum()), None)
        if first is not None:
            starts[first] = start  # the silent beginning belongs to the first word
        return Mapped(f" {said.text} ", [start, *starts, said.ends[-1]], [start, *said.ends, said.ends[-1]])
