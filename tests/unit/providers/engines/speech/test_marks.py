"""What is said of texts with marks: nothing vanishes that is not unmistakably a mark."""

from __future__ import annotations

import pytest

from providers.engines.speech.markup.own_words import OwnWords
from providers.engines.speech.reading import read
from providers.engines.speech.segmentation import cut
from providers.errors import InvalidRequest
from providers.speech.types import InputFormat
from tests.unit.providers.engines.speech.plain_reader import VOCABULARY, PlainReader, marks, said, words


@pytest.mark.parametrize(
    ("text", "read_aloud"),
    [
        ("[Alice]: Hello there\n[Bob]: Good morning", "Alice Hello there Bob Good morning"),
        ("if x<y and y>z then stop", "if x less than y and y greater than z then stop"),
        ("He whispered <<come here>> and left", "He whispered come here and left"),
        ("Use <b>bold</b> now<br>ok", "Use bold now ok"),
        ("[Fireball] [Level Up]", "Fireball Level Up"),
        ("List<int> is generic", "List of int is generic"),
        ("3 < 4 and 5 > 2", "three less than four and five greater than two"),
        ("<https://example.com> is the site", "example dot com is the site"),
        ("&lt;tag&gt; &amp; R&D", "less than tag greater than and R and D"),
        ("# not a title", "not a title"),
        ("1) first", "one first"),
        ("1. >", "one"),
        ("snake_case_name", "snake case name"),
        ("2*3*4", "two times three times four"),
        ("a <tag> and </b>", "a less than tag greater than and less than slash b greater than"),
        ("f[i](x) and [a](b)", "f i x and a b"),
        ("[docs](https://a.b/c) ![a cat](c.png) [x](/docs/)", "docs a cat x"),
        ("**so *very* big** and ***all***, un**bold**ed", "so very big and all unbolded"),
        ("2 ** 3, *args, **kwargs and 5*", "two three args kwargs and five"),
        ("`a_b` and ``c ` d``", "a b and c d"),
        ("#1 of ~5 & 3 × 4", "number one of about five and three times four"),
        ("C# at 10% of §5: a -> b != c", "C sharp at ten percent of section five a to b is not equal to c"),
        ("x^2 + y = ~/z", "x to the power of two plus y equals tilde slash z"),
        ("Read the | pipe \\*star\\*", "Read the pipe star"),
        ("\x1b[31mred\x1b[0m, \x1b]0;title\x07bell\x07\x00", "red bell"),
        ("Apples, etc. The shop (Main St., etc.) is shut.", "Apples et cetera The shop Main Street et cetera is shut"),
        ("At 9:30PM", "At nine thirty p.m"),
        ("<details class='x'>\n<summary>More</summary>\n\nText\n\n</details>\n<div", "More Text less than div"),
        ("[^1] and more [^1]: note", "and more note"),
    ],
)
def test_every_word_that_is_not_a_mark_is_said(text: str, read_aloud: str) -> None:
    assert words(text) == read_aloud


@pytest.mark.parametrize(
    ("text", "plain", "markdown"),
    [
        ("*a* # b", "a b", "a b"),
        ("2*3*4", "two times three times four", "two times three times four"),
        ("[a](b)", "a b", "a"),
        ("List<int>", "List of int", "List"),
        ("see [this][1] and [that]\n\n[1]: https://x.y", "see this one and that one x dot y", "see this and that"),
        ("[pause:1s] now", "pause one second now", "now"),
        ("<!-- hidden --> seen", "less than hidden to seen", "seen"),
        ("```py\ncode\n```", "py code", "code"),
        ("1. one\n   - two", "one one two", "one one two"),
        ("&lt;", "and lt", "less than"),
    ],
)
def test_the_format_decides_what_is_a_mark(text: str, plain: str, markdown: str) -> None:
    assert words(text, "text") == plain
    assert words(text, "markdown") == markdown


def test_what_an_assistant_writes_is_read_without_its_marks() -> None:
    text = (
        "---\n## How to\n1. *Open* the **door**.\n2. Use `ls -la`.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\n"
        "- [ ] task ✅ ⚙️ ┌──┐\n\n```py\nprint(1)\n```\nSee [docs](https://example.com/a_b?c=d#e)."
    )
    assert words(text) == "How to one Open the door two Use ls la a b one two quote task print(one See docs"
    assert {"## ", "**", "|---|---|", "> ", "- [ ] ", "```py", "](https://example.com/a_b?c=d#e)"} <= set(marks(text))


@pytest.mark.parametrize(
    ("text", "rests"),
    [
        ("Ready? [pause:1.5s] Go!", [("Ready?", 1.5), ("Go!", 0.6)]),
        ('Wait <break time="500ms"/> here', [("Wait,", 0.5), ("here.", 0.6)]),
        ("[pause:200ms] Hello there friend", [("", 0.2), ("Hello there friend.", 0.6)]),
        ("Wait [pause:1s] [pause:2s]", [("Wait,", 3.0)]),
        ("Line one\nLine two\n\nNew paragraph", [("Line one, Line two.", 0.6), ("New paragraph.", 0.6)]),
        ("<speak>Hi<break strength='strong'/>you</speak>", [("Hi,", 1.0), ("you.", 0.6)]),
    ],
)
def test_pauses_end_pieces_and_line_ends_are_commas(text: str, rests: list[tuple[str, float]]) -> None:
    assert [(piece.text, piece.rest) for piece in cut(said(text).sentences)] == rests


def test_a_line_that_ends_with_punctuation_or_a_bracket_after_it_has_no_comma() -> None:
    text = "He asked (twice)\nif so.\n“Why?”\nYes —\nno 😀\nend"
    assert " ".join(piece.text for piece in cut(said(text).sentences)) == (
        "He asked (twice), if so. “Why?” Yes — no, end."
    )


def test_a_long_line_that_goes_on_in_small_letters_is_only_wrapped() -> None:
    line = "This line is as long as lines are in a text that an editor has wrapped"
    assert cut(said(f"{line}\nand it goes on.").sentences)[0].text == f"{line} and it goes on."


def phonemes(text: str, lexicon: dict[str, str] | None = None, input_format: InputFormat | None = None) -> list[str]:
    own = [OwnWords(lexicon or {}, param="lexicon")]
    answer = read(text, PlainReader(), VOCABULARY, input_format, own)
    return [f"{chunk.word}:{chunk.phonemes}" for sentence in answer.sentences for chunk in sentence]


def test_a_word_has_the_sound_that_is_given_for_it_and_its_own_name() -> None:
    assert phonemes("My [Siobhan](/ʃəvˈɔn/)'s “[New York](/nuː jˈɔɹk/)”.") == [
        "My:my",
        "Siobhan's:ʃəvˈɔnz",
        "New York:“nuː jˈɔɹk”.",
    ]
    text = "The [東京](/tOkiO/) is said"
    (sentence,) = said(text).sentences
    assert [(chunk.word, chunk.written) for chunk in sentence][1] == ("東京", "東京")
    assert not said(text).unspoken


def test_a_lexicon_gives_sounds_to_whole_words() -> None:
    lexicon = {"Siobhan": "ʃəvˈɔn", "C++": "sˈi plˈʌs".replace("ʌ", "a"), "polish": "pˈalɪʃ", "Polish": "pˈOlɪʃ"}
    assert phonemes("SIOBHAN's C++ and Siobhans; Polish polish.", lexicon) == [
        "SIOBHAN's:ʃəvˈɔnz",
        "C++:sˈi plˈas",
        "and:and",
        "Siobhans:siobhans;",
        "Polish:pˈOlɪʃ",
        "polish:pˈalɪʃ.",
    ]
    assert phonemes("a [Siobhan](/ˈa/)", lexicon)[1] == "Siobhan:ˈa."


@pytest.mark.parametrize(
    ("text", "lexicon", "message"),
    [
        ("a [x](/ʃa3/)", {}, "input: the sound of 'x': '3' at position 9 is not in the alphabet of phonemes"),
        ("a [x](/ˈ/)", {}, "input: the sound of 'x': there is no phoneme"),
        ("a", {"word": "aø"}, "lexicon.word: the sound of 'word': 'ø' at position 1"),
        ("[pause:11s]", {}, "input: the pause at position 0 takes 11 seconds; at most 10"),
        (
            "<speak>é <prosody rate='x'>a</prosody></speak>",
            {},
            "<prosody> at position 9 is not supported; supported",
        ),
        ("<speak><break time='2'/></speak>", {}, "<break> at position 7 has time='2'; expected a time like '500ms'"),
        ("<speak><sub>a</sub></speak>", {}, "<sub> at position 7 lacks the attribute alias"),
        ("<speak><emphasis level='x'>a</emphasis></speak>", {}, "level='x'; supported are none, reduced"),
        ("<speak><say-as interpret-as='x'>a</say-as></speak>", {}, "interpret-as='x'; supported are characters"),
        ("<speak><p xml:lang='fr'>a</p></speak>", {}, "has the attribute xml:lang, which is not supported"),
        ("<speak>a & b</speak>", {}, "the SSML is not well-formed at position"),
        ("<speak><p>a</speak>", {}, "the SSML is not well-formed at position 13: mismatched tag"),
        ("<speak>&nope;</speak>", {}, "not well-formed"),
        (f"<speak>{'<p>' * 60}</speak>", {}, "in more than 50 elements"),
    ],
)
def test_a_wrong_mark_is_refused_by_name_and_position(text: str, lexicon: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        phonemes(text, lexicon)


def test_ssml_declares_nothing() -> None:
    text = '<?xml version="1.0"?><speak>a</speak>'
    assert words(text) == "a"
    for declaration in ('<!DOCTYPE speak [<!ENTITY a "b">]>', "<!DOCTYPE speak SYSTEM 'file:///etc/passwd'>"):
        # A declaration before `speak` makes it no SSML: the text is said.
        assert "speak" in words(declaration + "<speak>a</speak>")


@pytest.mark.parametrize(
    ("markup", "read_aloud"),
    [
        ("<say-as interpret-as='characters'>b1-c</say-as>", "B one dash C"),
        ("<say-as interpret-as='telephone'>+12-3</say-as>", "plus one two three"),
        ("<say-as interpret-as='cardinal'>1984</say-as>", "one thousand nine hundred and eighty-four"),
        ("<say-as interpret-as='ordinal'>3</say-as>", "third"),
        ("<say-as interpret-as='date' format='dmy'>3.4.2021</say-as>", "April third twenty twenty-one"),
        ("<say-as interpret-as='date' format='my'>4/2021</say-as>", "April twenty twenty-one"),
        ("<sub alias='World Wide Web'>WWW</sub>", "World Wide Web"),
        ("a &amp; b &lt; <![CDATA[<c>]]>", "a and b less than less than c greater than"),
        ("**no** [marks](x.y)", "no marks x.y"),
    ],
)
def test_ssml_says_how_to_read(markup: str, read_aloud: str) -> None:
    assert words(f"<speak version='1.1'>{markup}</speak>") == read_aloud


def test_stress_is_given_by_marks_and_by_emphasis() -> None:
    assert phonemes("a [big](+2) one") == ["a:a", "big:bˈig", "one:one."]
    assert phonemes("<speak>a <emphasis level='strong'>big</emphasis> one</speak>") == ["a:a", "big:bˈig", "one:one."]


def test_words_that_cannot_be_said_are_named() -> None:
    answer = said("The word 東京 means Tokyo, Привет")
    assert [(word.text, word.start_char, word.end_char) for word in answer.unspoken] == [
        ("東京", 9, 11),
        ("Привет", 25, 31),
    ]
