"""The languages that can be spoken, how clients name them, and what each needs on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Literal

import attrs

from providers.errors import InvalidRequest
from providers.extras import Extra

__all__ = ["LANGUAGES", "SpokenLanguage", "language_named", "readable_languages", "variant"]

Reader = Literal["english", "espeak", "japanese", "mandarin"]

ESPEAK = "espeak-ng"
"""The name of the program on the path."""


@attrs.frozen(kw_only=True)
class SpokenLanguage:
    """A language, or a variant of one, whose texts can be turned into Kokoro's phonemes."""

    code: str
    """BCP 47, e.g. `pt-BR`."""
    name: str
    """In English."""
    reader: Reader
    espeak: str = ""
    """espeak's name of it, if espeak reads it."""
    scripts: tuple[str, ...] = ("LATIN",)
    """Those that it is written in, as in Unicode's names of their letters."""
    extra: Extra | None = None
    """The extra that reads it, beside `speech`."""

    @property
    def missing(self) -> str:
        """What to install so that the language can be read; empty if it can."""
        if self.espeak and shutil.which(ESPEAK) is None:
            return (
                f"{self.name} needs the program {ESPEAK}, which is not on the path: `apt install {ESPEAK}`, or on "
                f"macOS `brew install {ESPEAK}`"
            )
        if self.extra is not None and self.extra.missing:
            return f"{self.name} needs the extra `{self.extra.name}`: `{self.extra.command}`"
        return ""


_JAPANESE = Extra(name="speech-ja", modules=("fugashi", "unidic_lite"), adds="speech in Japanese")
_MANDARIN = Extra(name="speech-zh", modules=("pypinyin", "rjieba", "cn2an"), adds="speech in Mandarin")
_KANJI = ("CJK", "KANGXI")
_KANA = ("HIRAGANA", "KATAKANA", "HALFWIDTH", "FULLWIDTH", "IDEOGRAPHIC")


def _by_espeak(code: str, name: str, voice: str, *scripts: str) -> SpokenLanguage:
    return SpokenLanguage(code=code, name=name, reader="espeak", espeak=voice, scripts=("LATIN", *scripts))


LANGUAGES: Mapping[str, SpokenLanguage] = {
    row.code: row
    for row in (
        SpokenLanguage(code="en-US", name="American English", reader="english"),
        SpokenLanguage(code="en-GB", name="British English", reader="english"),
        _by_espeak("es-ES", "Spanish", "es"),
        _by_espeak("es-419", "Latin American Spanish", "es-419"),
        _by_espeak("fr-FR", "French", "fr-fr"),
        _by_espeak("hi-IN", "Hindi", "hi", "DEVANAGARI"),
        _by_espeak("it-IT", "Italian", "it"),
        _by_espeak("pt-BR", "Brazilian Portuguese", "pt-br"),
        _by_espeak("pt-PT", "European Portuguese", "pt"),
        SpokenLanguage(
            code="ja-JP", name="Japanese", reader="japanese", scripts=("LATIN", *_KANJI, *_KANA), extra=_JAPANESE
        ),
        SpokenLanguage(
            code="zh-CN",
            name="Mandarin",
            reader="mandarin",
            scripts=("LATIN", *_KANJI, "IDEOGRAPHIC", "FULLWIDTH"),
            extra=_MANDARIN,
        ),
    )
}
"""By their codes."""

_VARIANTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    # language: the code without a region, and by region; other regions are as `*`
    "en": ("en", {"GB": "en-GB", "UK": "en-GB", "US": "en-US", "*": "en-US"}),
    "es": ("es", {"ES": "es-ES", "*": "es-419"}),
    "fr": ("fr-FR", {"*": "fr-FR"}),
    "hi": ("hi-IN", {"*": "hi-IN"}),
    "it": ("it-IT", {"*": "it-IT"}),
    "ja": ("ja-JP", {"*": "ja-JP"}),
    "pt": ("pt", {"PT": "pt-PT", "*": "pt-BR"}),
    "zh": ("zh-CN", {"*": "zh-CN"}),
}
_DEFAULTS = {"en": "en-US", "es": "es-ES", "pt": "pt-BR"}
"""Of languages that are named without a region, where the voice speaks another."""
_BRITISH_SPELLING = ("AU", "IE", "IN", "NZ", "ZA")
"""Regions whose English is read as British."""

_NAMES: Mapping[str, str] = {
    **{"a": "en-US", "b": "en-GB", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt", "z": "zh"},
    **{"eng": "en", "spa": "es", "fra": "fr", "fre": "fr", "hin": "hi", "ita": "it", "jpn": "ja", "por": "pt"},
    **{"zho": "zh", "chi": "zh", "cmn": "zh", "jp": "ja", "cn": "zh"},
    **{"english": "en", "american english": "en-US", "british english": "en-GB", "us english": "en-US"},
    **{"spanish": "es", "español": "es", "espanol": "es", "castellano": "es", "castilian": "es"},
    **{"latin american spanish": "es-419", "mexican spanish": "es-419", "european spanish": "es-ES"},
    **{"french": "fr", "français": "fr", "francais": "fr", "italian": "it", "italiano": "it"},
    **{"portuguese": "pt", "português": "pt", "portugues": "pt", "brazilian portuguese": "pt-BR", "brazilian": "pt-BR"},
    **{"european portuguese": "pt-PT", "hindi": "hi", "हिन्दी": "hi", "हिंदी": "hi", "japanese": "ja", "日本語": "ja"},
    **{"chinese": "zh", "mandarin": "zh", "mandarin chinese": "zh", "chinese mandarin": "zh", "中文": "zh"},
    **{"普通话": "zh", "汉语": "zh", "漢語": "zh", "國語": "zh"},
}
"""Other names of languages: Kokoro's letters, ISO 639, and words."""


def language_named(name: str) -> str:
    """The language that a client means: a code of `LANGUAGES`, or the first part of one if it leaves the region open.

    `es`, `ES-mx`, `es_MX`, `spa`, `Spanish` and Kokoro's letter `e` are understood.

    Raises:
        InvalidRequest: no voice speaks it.
    """
    plain = " ".join(name.replace("_", "-").split()).casefold()
    known = _NAMES.get(plain)
    first, *others = (known or plain).split("-")
    first = _NAMES.get(first, first) if len(first) == 3 else first
    if first not in _VARIANTS or (known is None and len(first) != 2):
        shown = repr(name if len(name) <= 64 else name[:64] + "…")
        raise InvalidRequest(
            f"language: cannot speak {shown}; it must be one of {', '.join(_listed())}", param="language"
        )
    open_code, regions = _VARIANTS[first]
    region = next((part.upper() for part in others if len(part) == 2 or part.isdecimal()), None)
    if region is None:
        return open_code
    if first == "en" and region in _BRITISH_SPELLING:
        return "en-GB"
    return regions.get(region, regions["*"])


def variant(language: str | None, voice_language: str) -> str:
    """The code of `LANGUAGES` to read a text in, for what `language_named` returned and the voice's own language."""
    if language is None:
        return voice_language
    if language in LANGUAGES:
        return language
    return voice_language if voice_language.startswith(f"{language}-") else _DEFAULTS[language]


def readable_languages() -> Iterator[str]:
    """The codes of the languages that can be read on this machine."""
    return (code for code, language in LANGUAGES.items() if not language.missing)


def _listed() -> list[str]:
    return [f"{code} ({language.name})" for code, language in LANGUAGES.items()]
