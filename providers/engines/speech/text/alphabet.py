"""Phonemes that clients write, in the alphabet of the model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

from providers.engines.speech.markup.marks import Sound
from providers.errors import InvalidRequest

__all__ = ["looks_like_phonemes", "to_phonemes"]

_ENGLISH = {
    "tʃ": "ʧ",
    "dʒ": "ʤ",
    "eɪ": "A",
    "aɪ": "I",
    "aʊ": "W",
    "ɔɪ": "Y",
    "oʊ": "O",
    "əʊ": "Q",
    "ɚ": "əɹ",
    "ɝ": "ɜɹ",
    "r": "ɹ",
}
"""Sounds of the IPA by the letters that misaki writes them with in English."""
_ANY = {"g": "ɡ", "'": "ˈ", "\u02bc": "ˈ", ":": "ː", ".": "", "·": "", "\u0361": "", "\u035c": "", "\u203f": ""}
"""Letters that keyboards have in place of the IPA's, and marks of syllables and ties."""
_SEQUENCES = re.compile("|".join(sorted(_ENGLISH, key=len, reverse=True)))
_TIES = re.compile("[\u0361\u035c]")
_SURE = re.compile(r"[^\x00-\x7f]|['AIOQWY]")
"""What phonemes have and the path of a link has not."""
_PATH = re.compile(r"[-._%#?=&\d]")


def looks_like_phonemes(target: str) -> bool:
    """Whether the target of `[word](target)` is the word's sound, as in `/ʃəvˈɔn/`, and not the path of a page."""
    inner = target[1:-1]
    if len(target) < 3 or target[0] != "/" or target[-1] != "/" or "/" in inner:
        return False
    return _SURE.search(inner) is not None and not (inner.isascii() and _PATH.search(inner))


def to_phonemes(sound: Sound, vocabulary: Container[str], *, english: bool) -> str:
    """The phonemes of a sound. IPA that the model writes otherwise is translated.

    Raises:
        InvalidRequest: a character is not in the alphabet, or no character is a sound.
    """
    phonemes = []
    for at, part in _parts(sound.phonemes, english=english):
        known = _ENGLISH.get(part) if english else None
        known = _ANY.get(part, part) if known is None else known
        for symbol in known if all(symbol in vocabulary for symbol in known) else unicodedata.normalize("NFD", known):
            if symbol not in vocabulary:
                raise InvalidRequest(
                    f"{sound.param}: {part!r} at position {sound.position + at}, in the sound of {sound.written!r}, is "
                    "not in the alphabet of phonemes",
                    param=sound.param,
                )
            phonemes.append(symbol)
    if not any(symbol.isalpha() and symbol not in "ˈˌː" for symbol in phonemes):
        raise InvalidRequest(f"{sound.param}: the sound of {sound.written!r} has no phoneme", param=sound.param)
    return "".join(phonemes)


def _parts(text: str, *, english: bool) -> list[tuple[int, str]]:
    """The characters with their offsets, and where it is English, the sequences that one letter stands for."""
    parts: list[tuple[int, str]] = []
    at = 0
    while at < len(text):
        match = _SEQUENCES.match(text, at) if english else None
        if english and match is None and at + 2 < len(text) and _TIES.match(text[at + 1]):
            tied = text[at] + text[at + 2]
            if tied in _ENGLISH:
                parts.append((at, tied))
                at += 3
                continue
        part = text[at] if match is None else match[0]
        parts.append((at, part))
        at += len(part)
    return parts
