"""Phonemes that clients write, in the alphabet of Kokoro."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

__all__ = ["ALPHABET", "NotPhonemes", "model_phonemes"]

ALPHABET = frozenset(
    ';:,.!?()" \u2014\u2026\u201c\u201d\u0303'
    "abcdefhijklmnopqrstuvwxyzAIOQSTWY"
    "çðøœæβθχŋɐɑɒɔɕɖəɚɛɜɟɡɣɤɥɨɪɯɰɲɳɴɸɹɻɽɾʁʂʃʈʊʋʌʎʒʔʝʣʤʥʦʧʨꭧᵊᵝᵻʰʲˈˌː↓→↗↘"
)
"""The symbols of Kokoro 1.0, its punctuation included."""
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


class NotPhonemes(ValueError):
    """A text that is no word's sound. The message follows the name of the word."""


def model_phonemes(text: str, vocabulary: Container[str] = ALPHABET, *, english: bool = True, position: int = 0) -> str:
    """The phonemes of a word. IPA that the model writes otherwise is translated.

    Args:
        english: whether to translate the IPA's diphthongs and affricates to the letters that misaki has for English.
        position: offset of the text, for the message.

    Raises:
        NotPhonemes: a character is not in the alphabet, or none is a sound.
    """
    phonemes: list[str] = []
    for at, part in _parts(text, english=english):
        known = _ENGLISH.get(part) if english else None
        known = _ANY.get(part, part) if known is None else known
        for symbol in known if all(symbol in vocabulary for symbol in known) else unicodedata.normalize("NFD", known):
            if symbol not in vocabulary:
                raise NotPhonemes(f"{part!r} at position {position + at} is not in the alphabet of phonemes")
            phonemes.append(symbol)
    if not any(symbol.isalpha() and symbol not in "\u02c8\u02cc\u02d0" for symbol in phonemes):
        raise NotPhonemes("there is no phoneme")
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
