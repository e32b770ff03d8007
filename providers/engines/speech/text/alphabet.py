"""Phonemes that clients give for a word."""

from __future__ import annotations

import re
from collections.abc import Container

from providers.engines.speech.markup.marks import Sound
from providers.errors import InvalidRequest
from providers.speech.phonemes import NotPhonemes, model_phonemes

__all__ = ["looks_like_phonemes", "to_phonemes"]

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
    """The phonemes of a sound.

    Raises:
        InvalidRequest: a character is not in the alphabet, or no character is a sound.
    """
    try:
        return model_phonemes(sound.phonemes, vocabulary, english=english, position=sound.position)
    except NotPhonemes as error:
        raise InvalidRequest(f"{sound.param}: the sound of {sound.written!r}: {error}", param=sound.param) from None
