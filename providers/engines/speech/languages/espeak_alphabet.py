"""espeak's IPA in Kokoro's alphabet.

Kokoro was trained on espeak's phonemes in misaki's notation (hexgrad/misaki, `EspeakG2P`): a diphthong or an affricate,
which espeak ties with `^`, is one capital letter or ligature; all other ties, and hyphens, are left out.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["kokoro_phonemes"]

_TIED = {
    **{"a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y"},
    **{"d^z": "ʣ", "d^ʒ": "ʤ", "s^s": "S", "t^s": "ʦ", "t^ʃ": "ʧ"},
}
_FLAG = re.compile(r"\([a-z^-]+\)")
"""A switch to another language's voice, and back: `(^e^n)`."""
_NASAL = "\u0303"


def kokoro_phonemes(ipa: str) -> str:
    """The phonemes of a text, with a space between words."""
    ipa = unicodedata.normalize("NFC", _FLAG.sub("", ipa))
    for tied, symbol in _TIED.items():
        ipa = ipa.replace(tied, symbol)
    ipa = "".join(_decomposed(symbol) for symbol in ipa.replace("^", "").replace("-", "").replace("g", "ɡ"))
    return re.sub(r"\s+", " ", ipa).strip()


def _decomposed(symbol: str) -> str:
    """A nasal vowel as the vowel and the mark; the vocabulary has no letter of both."""
    parts = unicodedata.normalize("NFD", symbol)
    return parts if _NASAL in parts else symbol
