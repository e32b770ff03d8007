"""Japanese: readings by MeCab and UniDic, numbers by num2words, and kana in phonemes by a table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import attrs

from providers.engines.speech.languages.kana import COUNTERS, as_katakana, counted, digits, kana_phonemes, number
from providers.engines.speech.languages.plain import Rule, in_words, sentences_of
from providers.engines.speech.languages.words import MARKS, Part, collect
from providers.engines.speech.text.g2p import Chunk
from providers.engines.speech.text.mapped import Mapped

__all__ = ["Japanese"]

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_COUNTER = "|".join(sorted(map(re.escape, COUNTERS), key=len, reverse=True))
_KANJI = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
_NUMERAL = re.compile(
    rf"(?P<digits>(?<![\d.,])(?:\d+(?:-\d+){{2,}}|0\d+|\d{{8,}})(?![.,]?\d))"
    rf"|(?P<minus>(?<![\w.])[-−] ?)?(?P<number>{_NUMBER}) ?(?:(?P<counter>{_COUNTER})(?![a-z]))?"
    rf"|(?P<kanji>(?<![一二三四五六七八九十百千万数何])[一二三四五六七八九十])(?P<counts>[本匹杯個回階冊歳才人つ時])(?!々)"
)
_SPELLINGS: tuple[Rule, ...] = (
    (re.compile(r"[ｦ-ﾝ][ﾞﾟ]|[！-～㌀-㏿０-９ｦ-ﾟ]"), lambda match: unicodedata.normalize("NFKC", match[0])),
    (re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?!\d)"), lambda match: _time(match)),
    (re.compile(rf"[¥￥] ?({_NUMBER})"), lambda match: f"{match[1]}円"),
    (re.compile(rf"\$ ?({_NUMBER})"), lambda match: f"{match[1]}ドル"),
    (re.compile(rf"€ ?({_NUMBER})"), lambda match: f"{match[1]}ユーロ"),
    (re.compile(rf"£ ?({_NUMBER})"), lambda match: f"{match[1]}ポンド"),
    (re.compile(r"°C"), lambda _: "℃"),
    (re.compile(r"(?<=[\d円時日月年人個分])[~〜～](?=\d)"), lambda _: "から"),
)
_SIGNS = {
    **{"&": "アンド", "+": "プラス", "=": "イコール", "×": "カケル", "÷": "ワル", "@": "アットマーク", "#": "ナンバー"},
    **{
        "<": "ショーナリ",
        ">": "ダイナリ",
        "%": "パーセント",
        "≈": "ヤク",
        "±": "プラスマイナス",
        "→": "カラ",
        "/": "スラッシュ",
    },
    **{"$": "ドル", "€": "ユーロ", "£": "ポンド", "¥": "エン", "℃": "ド", "°": "ド"},
}
_READINGS = {"日本": "ニホン", "私": "ワタシ", "明日": "アシタ"}
"""Everyday readings, where the dictionary prefers a formal one."""
_WHAT = frozenset(("を", "が", "も", "か", "に", "は", "から", "まで"))
"""Particles before which 何 is ナニ."""


@attrs.frozen
class _Morpheme:
    surface: str
    start: int
    """Place in the sentence."""
    pronunciation: str
    kind: str
    """First part of speech."""
    detail: str

    @property
    def end(self) -> int:
        return self.start + len(self.surface)


class Japanese:
    """Reads Japanese.

    Args:
        vocabulary: the phonemes that the model knows.
        scripts: those that the language is written in, as in Unicode's names of their letters.
        foreign: phonemes of a word in Latin letters.

    Raises:
        ImportError: a package of the extra `speech-ja` is not installed.
    """

    def __init__(self, vocabulary: Container[str], *, scripts: Sequence[str], foreign: Callable[[str], str]) -> None:
        import fugashi
        import unidic_lite

        self.english = False
        self._vocabulary = vocabulary
        self._scripts = scripts
        self._foreign = foreign
        self._tagger: Any = fugashi.Tagger(f'-d "{unidic_lite.DICDIR}"')

    def normalize(self, text: Mapped) -> Mapped:
        return in_words(text, _SPELLINGS, self._scripts)

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        return sentences_of(normalized)

    def __call__(self, sentence: str) -> list[Chunk]:
        parts: list[Part] = []
        at = 0
        for match in _NUMERAL.finditer(sentence):
            parts += self._tagged(sentence[at : match.start()], at)
            word = match.group().rstrip()
            parts.append(Part(match.start(), match.start() + len(word), word, kana_phonemes(_numeral(match))))
            at = match.end()
        parts += self._tagged(sentence[at:], at)
        return collect(sentence, parts, self._vocabulary)

    def _tagged(self, text: str, start: int) -> Iterator[Part]:
        """The parts of a text without numbers, which is at `start` of the sentence."""
        group: list[_Morpheme] = []
        for morpheme in self._morphemes(text, start):
            if group and not _continues(group[-1], morpheme):
                yield self._group(group)
                group = []
            if morpheme.surface in MARKS:
                yield Part(morpheme.start, morpheme.end, "", MARKS[morpheme.surface])
            elif any(character.isalpha() for character in morpheme.surface) or morpheme.surface in _SIGNS:
                group.append(morpheme)
        if group:
            yield self._group(group)

    def _group(self, group: list[_Morpheme]) -> Part:
        phonemes = ""
        before: _Morpheme | None = None
        for morpheme in group:
            sound = self._sound(morpheme)
            phonemes += f" {sound}" if before is not None and sound and _apart(before, morpheme) else sound
            before = morpheme
        surface = "".join(morpheme.surface for morpheme in group)
        return Part(group[0].start, group[-1].end, surface, phonemes.removesuffix("ʔ"))

    def _sound(self, morpheme: _Morpheme) -> str:
        surface = morpheme.surface
        if surface.isascii() and surface.isalpha():
            return self._foreign(surface)
        return kana_phonemes(_SIGNS.get(surface) or morpheme.pronunciation or as_katakana(surface))

    def _morphemes(self, text: str, start: int) -> Iterator[_Morpheme]:
        found: list[_Morpheme] = []
        at = 0
        for token in self._tagger(text):
            at = text.index(token.surface, at)
            feature = token.feature
            pronunciation = _READINGS.get(token.surface) or feature.pron or feature.kana or ""
            found.append(_Morpheme(token.surface, start + at, pronunciation, feature.pos1, feature.pos2))
            at += len(token.surface)
        for morpheme, following in zip(found, [*found[1:], None], strict=False):
            if morpheme.surface == "何" and following is not None and following.surface in _WHAT:
                morpheme = attrs.evolve(morpheme, pronunciation="ナニ")
            yield morpheme


def _continues(before: _Morpheme, morpheme: _Morpheme) -> bool:
    """Whether a morpheme belongs to the word of the one before it: endings, suffixes, and what follows a prefix."""
    if before.end != morpheme.start or morpheme.surface in MARKS:
        return False
    if before.kind == "接頭辞" or morpheme.kind == "接尾辞" or before.pronunciation.endswith("ッ"):
        return True
    inflected = before.kind in ("動詞", "形容詞", "助動詞") or before.detail == "接続助詞"
    ending = morpheme.kind == "助動詞" or morpheme.detail == "接続助詞"
    return inflected and (ending or (morpheme.detail == "非自立可能" and before.detail == "接続助詞"))


def _apart(before: _Morpheme, morpheme: _Morpheme) -> bool:
    """Whether the model's training had a space between two morphemes of a word."""
    if before.pronunciation.endswith("ッ"):
        return False
    polite = (
        morpheme.kind == "助動詞" and morpheme.pronunciation.startswith(("マ", "デ")) and len(before.pronunciation) > 1
    )
    return polite or morpheme.detail == "非自立可能"


def _time(match: re.Match[str]) -> str:
    hours, minutes = int(match[1]), int(match[2])
    return f"{hours}時{minutes}分" if minutes else f"{hours}時"


def _numeral(match: re.Match[str]) -> str:
    """The katakana of a number with or without its counter."""
    if match["digits"]:
        return digits(match["digits"])
    if match["kanji"]:
        return counted(str(_KANJI[match["kanji"]]), match["counts"])
    read = counted(match["number"], match["counter"]) if match["counter"] else number(match["number"])
    return f"マイナス{read}" if match["minus"] else read
