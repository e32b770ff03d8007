"""Mandarin: words by jieba's dictionary, pinyin by pypinyin, numbers by cn2an, and phonemes by a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from typing import Any

from providers.engines.speech.languages.pinyin import syllable_phonemes
from providers.engines.speech.languages.plain import Rule, in_words, sentences_of
from providers.engines.speech.languages.words import MARKS, Part, collect
from providers.engines.speech.text.g2p import Chunk
from providers.engines.speech.text.mapped import Mapped

__all__ = ["Mandarin"]

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_MONEY = {"¥": "元", "￥": "元", "$": "美元", "＄": "美元", "€": "欧元", "£": "英镑"}
_SIGNS = {
    **{"+": "加", "=": "等于", "×": "乘", "÷": "除以", "±": "正负", "≈": "约等于", "~": "约", "&": "和", "@": "艾特"},
    **{"<": "小于", ">": "大于", "≤": "小于等于", "≥": "大于等于", "%": "百分之", "#": "号", "℃": "摄氏度"},
    **{"°": "度", "→": "到", "½": "二分之一"},
    **_MONEY,
}
_MEASURES = "个本块只条张位点次天年岁杯件家种元斤公里米小时分秒周"
_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇]+|[^\W\d_]+(?:['’-][^\W\d_]+)*|\S")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇]")


class Mandarin:
    """Reads Mandarin in simplified or traditional characters.

    Args:
        vocabulary: the phonemes that the model knows.
        scripts: those that the language is written in, as in Unicode's names of their letters.
        foreign: phonemes of a word in Latin letters.

    Raises:
        ImportError: a package of the extra `speech-zh` is not installed.
    """

    def __init__(self, vocabulary: Container[str], *, scripts: Sequence[str], foreign: Callable[[str], str]) -> None:
        import cn2an
        import pypinyin
        import rjieba

        self.english = False
        self._vocabulary = vocabulary
        self._scripts = scripts
        self._foreign = foreign
        self._cut: Callable[[str], list[str]] = rjieba.cut
        self._pinyin: Any = pypinyin
        self._numeral: Callable[[str, str], str] = cn2an.an2cn
        self._rules: tuple[Rule, ...] = (
            (re.compile(r"(?<!\d)(\d{1,2})[:：](\d{2})(?!\d)"), self._time),
            (re.compile(r"\d{4}(?=年)|(?<![\d.,])(?:0\d+|\d{8,})(?![.,]?\d)"), lambda match: _digits(match[0])),
            (re.compile(r"(?<![\d/])(\d+)/(\d+)(?![\d/])"), lambda m: f"{self._number(m[2])}分之{self._number(m[1])}"),
            (re.compile(rf"({_NUMBER}) ?[%％]"), lambda match: f"百分之{self._number(match[1])}"),
            (re.compile(rf"([{''.join(_MONEY)}]) ?({_NUMBER})"), lambda m: self._number(m[2]) + _MONEY[m[1]]),
            (re.compile(rf"# ?({_NUMBER})"), lambda match: f"{self._number(match[1])}号"),
            (re.compile(r"° ?C"), lambda _: "摄氏度"),
            (re.compile(rf"(?<![\d.,])2(?=[{_MEASURES}])"), lambda _: "两"),
            (re.compile(rf"(?<![\w.])[-−] ?({_NUMBER})"), lambda match: f"负{self._number(match[1])}"),
            (re.compile(_NUMBER), lambda match: self._number(match[0])),
            (re.compile(rf"[{re.escape(''.join(_SIGNS))}]"), lambda match: _SIGNS[match[0]]),
        )

    def normalize(self, text: Mapped) -> Mapped:
        return in_words(text, self._rules, self._scripts)

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        return sentences_of(normalized)

    def __call__(self, sentence: str) -> list[Chunk]:
        parts: list[Part] = []
        for match in _TOKEN.finditer(sentence):
            token = match.group()
            if _HAN.match(token):
                at = match.start()
                for word in self._cut(token):
                    parts.append(Part(at, at + len(word), word, self._read(word)))
                    at += len(word)
            elif token[0].isalpha():
                parts.append(Part(match.start(), match.end(), token, self._foreign(token)))
            elif token in MARKS:
                parts.append(Part(match.start(), match.end(), "", MARKS[token]))
        return collect(sentence, parts, self._vocabulary)

    def _read(self, word: str) -> str:
        syllables = self._pinyin.lazy_pinyin(
            word, style=self._pinyin.Style.TONE3, neutral_tone_with_five=True, errors="ignore"
        )
        return "".join(syllable_phonemes(syllable) or "" for syllable in syllables)

    def _number(self, digits: str) -> str:
        plain = digits.replace(",", "")
        if len(plain.partition(".")[0]) > 16:  # the largest unit of numerals is 10¹²
            return _digits(plain)
        return self._numeral(plain, "low")

    def _time(self, match: re.Match[str]) -> str:
        hours, minutes = match.groups()
        hour = "两" if int(hours) == 2 else self._number(str(int(hours)))
        if minutes == "00":
            return f"{hour}点"
        return f"{hour}点{'零' if minutes[0] == '0' else ''}{self._number(str(int(minutes)))}分"


def _digits(digits: str) -> str:
    return "".join("点" if digit == "." else _DIGITS.get(digit, "") for digit in digits)
