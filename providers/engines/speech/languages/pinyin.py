"""Pinyin in Kokoro's alphabet.

Sources: the tables of initials and finals of "Help:IPA/Mandarin" and San Duanmu, "The Phonology of Standard Chinese"
(2007), in the symbols of the model's training: ꭧ is tʂ, ʨ is tɕ, ʦ is ts, ɨ is the vowel of `zi` and `zhi`. A tone's
arrow follows the vowel of its syllable: → high, ↗ rising, ↓ low, ↘ falling; the neutral tone has none.
"""

from __future__ import annotations

import re

__all__ = ["syllable_phonemes"]

_INITIALS = {
    **{letter: letter for letter in "flmns"},
    **{"b": "p", "p": "pʰ", "d": "t", "t": "tʰ", "g": "k", "k": "kʰ", "h": "x"},
    **{"j": "ʨ", "q": "ʨʰ", "x": "ɕ", "z": "ʦ", "c": "ʦʰ"},
    **{"zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "": ""},
}
_FINALS = {
    # final: what precedes the tone, and what follows it
    "a": ("a", ""),
    "ai": ("ai", ""),
    "an": ("a", "n"),
    "ang": ("a", "ŋ"),
    "ao": ("au", ""),
    "e": ("ɤ", ""),
    "ê": ("ɛ", ""),
    "ei": ("ei", ""),
    "en": ("ə", "n"),
    "eng": ("ə", "ŋ"),
    "er": ("ɚ", ""),
    "i": ("i", ""),
    "ia": ("ja", ""),
    "ian": ("jɛ", "n"),
    "iang": ("ja", "ŋ"),
    "iao": ("jau", ""),
    "ie": ("je", ""),
    "in": ("i", "n"),
    "ing": ("i", "ŋ"),
    "io": ("jɔ", ""),
    "iong": ("jʊ", "ŋ"),
    "iu": ("jou", ""),
    "o": ("wo", ""),
    "ong": ("ʊ", "ŋ"),
    "ou": ("ou", ""),
    "u": ("u", ""),
    "ua": ("wa", ""),
    "uai": ("wai", ""),
    "uan": ("wa", "n"),
    "uang": ("wa", "ŋ"),
    "ueng": ("wə", "ŋ"),
    "ui": ("wei", ""),
    "un": ("wə", "n"),
    "uo": ("wo", ""),
    "v": ("y", ""),
    "van": ("ɥɛ", "n"),
    "ve": ("ɥe", ""),
    "vn": ("y", "n"),
}
_WHOLE = {"m": ("m", ""), "n": ("n", ""), "ng": ("ŋ", ""), "hm": ("hm", ""), "hng": ("hŋ", ""), "o": ("ɔ", "")}
"""Interjections."""
_SPELLED = {
    # syllables without an initial are written with w and y
    **{"yi": "i", "ya": "ia", "yan": "ian", "yang": "iang", "yao": "iao", "ye": "ie", "yin": "in", "ying": "ing"},
    **{"yo": "io", "yong": "iong", "you": "iu", "yu": "v", "yuan": "van", "yue": "ve", "yun": "vn"},
    **{"wu": "u", "wa": "ua", "wai": "uai", "wan": "uan", "wang": "uang", "weng": "ueng", "wei": "ui", "wen": "un"},
    **{"wo": "uo"},
}
_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
_SYLLABLE = re.compile(r"(zh|ch|sh|[bpmfdtnlgkhjqxrzcs]?)([a-zê]+)([1-5])")


def syllable_phonemes(pinyin: str) -> str | None:
    """The phonemes of a syllable whose tone is a digit, 5 for the neutral one: `lv4`. None if it is no syllable."""
    pinyin = pinyin.replace("ü", "v")
    whole, tone = pinyin[:-1], _TONES.get(pinyin[-1:])
    if tone is None:
        return None
    if whole in _WHOLE:
        before, after = _WHOLE[whole]
        return f"{before}{tone}{after}"
    match = _SYLLABLE.fullmatch(_SPELLED.get(whole, whole) + pinyin[-1])
    if match is None:
        return None
    initial, final, _ = match.groups()
    if initial in ("j", "q", "x") and final.startswith("u"):
        final = f"v{final[1:]}"
    if final == "i" and initial in ("z", "c", "s", "zh", "ch", "sh", "r"):
        before, after = "ɨ", ""
    elif final in _FINALS:
        before, after = _FINALS[final]
    else:
        return None
    return f"{_INITIALS[initial]}{before}{tone}{after}"
