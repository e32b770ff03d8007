"""Mandarin: pinyin in Kokoro's alphabet, numbers in words, and the stretches of the input that words say."""

from __future__ import annotations

import pytest

from providers.engines.speech.languages.pinyin import syllable_phonemes
from providers.speech.languages import LANGUAGES
from tests.unit.providers.engines.speech.languages.reading import left_out, phonemes, vocabulary, words

pytest.importorskip("pypinyin")
pytest.importorskip("rjieba")
pytest.importorskip("cn2an")

from providers.engines.speech.languages.mandarin import Mandarin


@pytest.fixture(scope="module")
def mandarin() -> Mandarin:
    return Mandarin(vocabulary(), scripts=LANGUAGES["zh-CN"].scripts, foreign=lambda word: word.lower())


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("今天天气很好。", "ʨi→ntʰjɛ→ntʰjɛ→nʨʰi↘ xə↓n xau↓."),
        ("我每天早上喝咖啡。", "wo↓ mei↓tʰjɛ→n ʦau↓ʂa↘ŋ xɤ→kʰa→fei→."),
        ("请问火车站怎么走？", "ʨʰi↓ŋwə↘n xwo↓ꭧʰɤ→ꭧa↘n ʦə↓nmɤ ʦou↓?"),
        ("我们去北京旅游了。", "wo↓mən ʨʰy↘ pei↓ʨi→ŋ ly↓jou↗ lɤ."),
        ("她说：“谢谢你！”", "tʰa→ ʂwo→: “ɕje↘ɕje↘ ni↓!”"),
        ("女儿、二月", "ny↓ɚ↗, ɚ↘ɥe↘."),
        ("老師說話", "lau↓ʂɨ→ ʂwo→ xwa↘."),
    ],
)
def test_sentences_are_read(mandarin: Mandarin, text: str, read: str) -> None:
    assert phonemes(mandarin, text) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("300块钱", "三百块钱"),
        ("2024年5月4日", "二零二四年五月四日"),
        ("3.5%", "百分之三点五"),
        ("10:05", "十点零五分"),
        ("2:00", "两点"),
        ("2个", "两个"),
        ("12个", "十二个"),
        ("$5", "五美元"),
        ("￥1,200", "一千二百元"),
        ("1/3", "三分之一"),
        ("-5°C", "负五摄氏度"),
        ("电话13812345678", "电话一三八一二三四五六七八"),
        ("#1", "一号"),
        ("99999999999999999999", "九" * 20),
        ("1+1=2", "一加一等于二"),
        ("7" * 40, "七" * 40),
    ],
)
def test_numbers_and_signs_are_read_in_words(mandarin: Mandarin, written: str, read: str) -> None:
    said = words(mandarin, written)

    assert "".join(word for word, _ in said) == read
    assert "".join(dict.fromkeys(stretch for _, stretch in said)) == written.replace("°", "°")


def test_words_in_latin_letters_are_read_by_the_foreign_reader(mandarin: Mandarin) -> None:
    assert words(mandarin, "我爱Python。") == [("我", "我"), ("爱", "爱"), ("Python", "Python")]
    assert phonemes(mandarin, "我爱Python。") == "wo↓ ai↘ python."


def test_letters_of_other_scripts_are_left_out_and_named(mandarin: Mandarin) -> None:
    assert left_out(mandarin, "你好 Привет") == ["Привет"]
    assert phonemes(mandarin, "🙂") == ""


@pytest.mark.parametrize(
    ("pinyin", "read"),
    [
        *(("zhi1", "ꭧɨ→"), ("zi4", "ʦɨ↘"), ("ju2", "ʨy↗"), ("lv4", "ly↘"), ("xuan3", "ɕɥɛ↓n"), ("er2", "ɚ↗")),
        *(("yuan2", "ɥɛ↗n"), ("wo3", "wo↓"), ("bo1", "pwo→"), ("weng1", "wə→ŋ"), ("liu2", "ljou↗"), ("de5", "tɤ")),
        *(("nve4", "nɥe↘"), ("qiong2", "ʨʰjʊ↗ŋ"), ("ng2", "ŋ↗"), ("xyz1", None), ("ma", None), ("", None)),
    ],
)
def test_a_syllable_is_its_initial_its_final_and_its_tone(pinyin: str, read: str | None) -> None:
    assert syllable_phonemes(pinyin) == read
