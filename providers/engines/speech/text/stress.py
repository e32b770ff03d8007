"""Stress marks of misaki's phonemes: their place in a word, and how to strengthen and weaken them.

After misaki 0.9.4, Copyright hexgrad, Apache License 2.0 (see NOTICE). Changed: typed, and written anew in part.
"""

from __future__ import annotations

__all__ = ["PRIMARY", "VOWELS", "apply_stress", "weight"]

PRIMARY = "ˈ"
SECONDARY = "ˌ"
VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ")
DIPHTHONGS = frozenset("AIOQWYʤʧ")


def weight(phonemes: str) -> int:
    """The length of a word. Its diphthongs and affricates count twice."""
    return sum(2 if phoneme in DIPHTHONGS else 1 for phoneme in phonemes)


def apply_stress(phonemes: str, stress: float | None) -> str:
    """Change the stress of a word.

    Args:
        phonemes: one word.
        stress: below -1 removes every mark. -1 and -0.5 weaken a primary stress, and -1 removes a secondary one.
            0 weakens like -0.5, and adds a secondary stress to a word without marks. 0.5 only adds it. 1 adds it, or
            strengthens a secondary stress. Above 1 adds a primary stress. None changes nothing.
    """
    if stress is None:
        return phonemes
    primary, secondary = PRIMARY in phonemes, SECONDARY in phonemes
    if stress < -1:
        return phonemes.replace(PRIMARY, "").replace(SECONDARY, "")
    if stress == -1 or (stress in (0, -0.5) and primary):
        return phonemes.replace(SECONDARY, "").replace(PRIMARY, SECONDARY)
    if stress in (0, 0.5, 1) and not primary and not secondary:
        return _marked(SECONDARY, phonemes)
    if stress >= 1 and not primary and secondary:
        return phonemes.replace(SECONDARY, PRIMARY)
    if stress > 1 and not primary and not secondary:
        return _marked(PRIMARY, phonemes)
    return phonemes


def _marked(mark: str, phonemes: str) -> str:
    """Put a mark before the first vowel, if there is one."""
    at = next((at for at, phoneme in enumerate(phonemes) if phoneme in VOWELS), None)
    return phonemes if at is None else phonemes[:at] + mark + phonemes[at:]
