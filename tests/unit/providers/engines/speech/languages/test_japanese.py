"""Japanese: kana in Kokoro's alphabet, numbers with their counters, and the stretches of the input that words say."""

from __future__ import annotations

import pytest

from providers.engines.speech.languages.kana import counted, kana_phonemes, number
from providers.speech.languages import LANGUAGES
from tests.unit.providers.engines.speech.languages.reading import chunks, left_out, phonemes, vocabulary, words

fugashi = pytest.importorskip("fugashi")
pytest.importorskip("unidic_lite")

from providers.engines.speech.languages.japanese import Japanese  # noqa: E402
from providers.engines.speech.segmentation import Piece  # noqa: E402


@pytest.fixture(scope="module")
def japanese() -> Japanese:
    return Japanese(vocabulary(), scripts=LANGUAGES["ja-JP"].scripts, foreign=lambda word: word.lower())


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("今日はいい天気ですね。", "kʲoː βa iː teŋkʲi desɨ ne."),
        ("私は毎朝コーヒーを飲みます。", "βataɕi βa maiasa koːçiː o nomʲi masɨ."),
        ("駅までどうやって行けばいいですか？", "ekʲi made doː jaʔte ikeba iː desɨ ka?"),
        ("東京へ行った。", "toːkʲoː e iʔta."),
        ("「ありがとう」と言いました。", "“aɾʲiɡatoː” to iː maɕita."),
        ("電話番号を教えてください。", "deɴβa baŋɡoː o oɕiete kɯdasai."),
        ("日本語を勉強する。", "ɲihoɴ ɡo o beŋkʲoː sɨɾɯ."),
        ("何を食べたい？", "naɲi o tabetai?"),
        ("ｶﾞｷﾞｸﾞ", "ɡa ɡʲiɡɯ."),
    ],
)
def test_sentences_are_read(japanese: Japanese, text: str, read: str) -> None:
    assert phonemes(japanese, text) == read


@pytest.mark.parametrize(
    ("text", "counter", "read"),
    [
        *(("1", "本", "イッポン"), ("3", "本", "サンボン"), ("4", "本", "ヨンホン"), ("10", "分", "ジュップン")),
        *(("3", "分", "サンプン"), ("4", "時", "ヨジ"), ("19", "時", "ジュークジ"), ("4", "月", "シガツ")),
        *(
            ("1", "日", "ツイタチ"),
            ("20", "日", "ハツカ"),
            ("21", "日", "ニジューイチニチ"),
            ("14", "日", "ジューヨッカ"),
        ),
        *(("2", "人", "フタリ"), ("14", "人", "ジューヨニン"), ("1", "つ", "ヒトツ"), ("8", "個", "ハッコ")),
        *(
            ("8", "歳", "ハッサイ"),
            ("20", "歳", "ハタチ"),
            ("100", "円", "ヒャクエン"),
            ("3.5", "%", "サンテンゴパーセント"),
        ),
        *(("1,000", "円", "センエン"), ("100", "本", "ヒャクホン"), ("6", "kg", "ロクキロ")),
    ],
)
def test_counters_change_the_numbers_before_them(text: str, counter: str, read: str) -> None:
    assert counted(text, counter) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [("300", "サンビャク"), ("12,345", "イチマンニセンサンビャクヨンジューゴ"), ("9" * 20, "キュー" * 20)],
)
def test_numbers_are_read_in_kana(written: str, read: str) -> None:
    assert number(written) == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2024年5月4日", [("2024年", "2024年"), ("5月", "5月"), ("4日", "4日")]),
        ("9:30", [("9時", "9:30"), ("30分", "9:30")]),
        ("￥500と$5", [("500円", "￥500"), ("と", "と"), ("5ドル", "$5")]),
        ("三本の傘", [("三本", "三本"), ("の", "の"), ("傘", "傘")]),
        ("１２３個", [("123個", "１２３個")]),
        ("食べました。", [("食べました", "食べました")]),
        ("Appleを買った", [("Apple", "Apple"), ("を", "を"), ("買った", "買った")]),
    ],
)
def test_words_know_the_stretch_that_they_say(japanese: Japanese, written: str, said: list[tuple[str, str]]) -> None:
    assert words(japanese, written) == said


def test_telephone_numbers_are_read_digit_by_digit(japanese: Japanese) -> None:
    assert phonemes(japanese, "090-1234-5678。") == kana_phonemes("ゼロキューゼロイチニサンヨンゴロクナナハチ") + "."


def test_letters_of_other_scripts_are_left_out_and_named(japanese: Japanese) -> None:
    assert left_out(japanese, "こんにちは Привет") == ["Привет"]


def test_the_text_of_a_piece_has_no_blanks_that_the_input_has_not(japanese: Japanese) -> None:
    assert Piece(tuple(chunks(japanese, "今日は、Appleを買った。"))).text == "今日は、Appleを買った。"


@pytest.mark.parametrize(
    ("kana", "read"),
    [
        *(
            ("シャシン", "ɕaɕiɴ"),
            ("サンポ", "sampo"),
            ("リンゴ", "ɾʲiŋɡo"),
            ("コンニチワ", "koɲɲiʨiβa"),
            ("ガッコー", "ɡaʔkoː"),
        ),
        *(
            ("ファイル", "ɸaiɾɯ"),
            ("ティー", "tʲiː"),
            ("クォーツ", "kᵝoːʦɨ"),
            ("ヴァイオリン", "vaioɾʲiɴ"),
            ("スァ", "sa"),
        ),
        *(("", ""), ("abc", "")),
    ],
)
def test_kana_are_read_by_the_table(kana: str, read: str) -> None:
    assert kana_phonemes(kana) == read
