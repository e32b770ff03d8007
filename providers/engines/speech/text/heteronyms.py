"""Nouns that are written alike and sound differently, told apart by the words beside them.

The dictionaries tell heteronyms apart by their part of speech (`to read`, `the wind`). That does not help with these.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["heteronym"]

_NEAR = 3
"""Words before and after that are looked at."""
_METAL = frozenset({"acid", "bullet", "crystal", "paint", "pencil", "pipe", "poisoning", "shot", "weight"})
_MUSIC = frozenset({"amp", "boost", "clef", "drum", "guitar", "guitarist", "line", "note", "player", "singer", "solo"})
_FISH = frozenset({"ate", "catch", "caught", "eat", "fish", "fishing", "grilled", "lake", "sea", "striped", "trout"})


def heteronym(words: Sequence[str], place: int) -> str | None:
    """The phonemes of the word at this place. None: the dictionary's are right, or it is no heteronym.

    Args:
        words: of the sentence, punctuation included.
    """
    word = words[place].lower()
    after = _singular(words[place + 1]) if place + 1 < len(words) else ""
    if word == "lead":
        return "lˈɛd" if after in _METAL else None
    if word == "bass":
        near = {_singular(neighbour) for neighbour in words[max(0, place - _NEAR) : place + _NEAR + 1]}
        return "bˈAs" if after in _MUSIC or not near & _FISH else None
    return None


def _singular(word: str) -> str:
    return word.lower().removesuffix("s")
