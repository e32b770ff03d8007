"""Every character of an input is in a word, in a mark, silent, or named as what could not be said."""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.engines.speech.reading import Said
from providers.engines.speech.segmentation import cut
from providers.errors import InvalidRequest
from providers.speech.types import InputFormat
from tests.growth import assert_linear
from tests.unit.providers.engines.speech.plain_reader import said

FORMATS: list[InputFormat | None] = [None, "text", "markdown"]

KINDS = [
    "It was $100 after 9:30PM, about 40–60°C — “wow,” she said… Dr. O’Neill's e-mail: a.b@c.org (v1.2.3).",
    "[Alice]: Hello there\n[Bob]: Good morning",
    "if x<y and y>z then stop; List<int> and <<come here>> [Fireball] &lt;tag&gt; AT&T R&D a&b;",
    "# Title #\n\n* one\n* two\n  1. first\n  2) second\n\n> quote\n>> deeper\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n",
    "```py\nprint('x')  # no title\n```\n~~~\n**literal**\n~~~\nafter `code *x*` and ``a ` b``",
    "***bold* it** __x__ un**bold**ed snake_case 2*3*4 * ~~gone~~ \\*stars\\* _a_",
    "[docs](https://example.com/a_b?c=d#e) ![alt](x.png) [a](b) f[i](x) <https://x.y> [ref][1]\n\n[1]: https://a.b",
    "My sister [Siobhan](/ʃəvˈɔɹ/)'s [very](+2) [New York](/nuː jˈɔɹk/) house [pause:1s] <break time='200ms'/> on.",
    "<speak>Hi <sub alias='two words'>x</sub> &amp; <say-as interpret-as='digits'>123</say-as><break/><p>é</p></speak>",
    "\x1b[31mred\x1b[0m \x07bell\x00 \x1b]0;title\x07 done\r\nnext\rline\u2028end",
    "e\u0301clair na\u00efve soft\u00adhyphen \u200bzero ﬁne ① ½ 2½ x² 4⁴ Ⅳ ٣ ℃",
    "The word 東京 means Tokyo; Привет, мир! Δt, Καλημέρα, שלום 한국어 हिन्दी",
    "👍🏽 1️⃣ 👨‍👩‍👧 é… --- —— ~5 #1 @you C# x^2 C:\\Users a -> b != c",
    "March 5, 2024; 03/04/2021; 2024-01-31T10:00; $1.5 million; US$3k; £2.01; 1/2; 3rd; 1990s; 555-123-4567; 10 km/h",
    "aaaa" * 40 + " " + "x." * 40,
    "U.S. e.g. i.e. etc. (Main St., etc.) Mr. J. K. Rowling w/o a.m.",
]
MARKS = [
    "**",
    "*",
    "_",
    "`",
    "```",
    "[",
    "](",
    ")",
    "<",
    ">",
    "&amp;",
    "&",
    "#",
    "# ",
    "- ",
    "1. ",
    "> ",
    "|",
    "\n",
    "\n\n",
]
MARKS += [
    "<b>",
    "</b>",
    "<br>",
    "[pause:1s]",
    "\\",
    "~~",
    "$",
    "%",
    "'",
    '"',
    ",",
    ".",
    "https://",
    "www.",
    "@",
    "!",
    "---",
]
MARKS += ["\x1b[1m", "\t", "|---|", "<!--", "-->", "<speak>", "</speak>", "](/ˈa/)", "[a](/ɔ/)", "](+1)"]
texts = st.lists(
    st.sampled_from(MARKS) | st.sampled_from([" ", "a", "Bo", "12", "5", "x", "km", "é", "東", "и"]), max_size=40
)


ALLOWED = re.compile(
    r"\x1b\[1m|&amp;|</?br?>|\[pause:1s\]|\]\(\+1\)|\]\([^()\s]*\)|1\. |(?:```[^`\n]*|~~~[^\n]*)(?=\n|$)|https?://"
)
"""Marks with letters in them."""


def check(text: str, answer: Said) -> None:
    assert "".join(text[part.start : part.end] for part in answer.parts) == text
    assert all(one.end == other.start for one, other in itertools.pairwise(answer.parts))
    chunks = [chunk for sentence in answer.sentences for chunk in sentence if chunk.word]
    stretches = [(chunk.start_char, chunk.end_char) for chunk in chunks]
    assert all(one == other or one[1] <= other[0] for one, other in itertools.pairwise(stretches))
    words = [(part.start, part.end) for part in answer.parts if part.kind == "word"]
    assert words == sorted(set(stretches))
    for chunk in chunks:
        assert chunk.written == text[chunk.start_char : chunk.end_char]
        assert chunk.written == chunk.written.strip() != ""
        assert chunk.first_char <= chunk.start_char < chunk.end_char <= chunk.last_char
    for part in answer.parts:
        if part.kind == "silence":
            assert not any(map(str.isalnum, text[part.start : part.end]))
    for piece in cut(answer.sentences):
        assert 0 <= piece.start_char <= piece.end_char <= len(text)


@pytest.mark.parametrize("text", KINDS)
@pytest.mark.parametrize("input_format", FORMATS)
def test_each_character_of_any_kind_of_text_is_in_one_part(text: str, input_format: InputFormat | None) -> None:
    check(text, said(text, input_format))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120) | texts.map("".join), st.sampled_from(FORMATS))
@example("<speak>a</speak>", None)
def test_each_character_of_any_text_is_in_one_part(text: str, input_format: InputFormat | None) -> None:
    refused = "</speak>" in text  # a document of SSML may be wrong
    with contextlib.suppress(InvalidRequest) if refused else contextlib.nullcontext():
        check(text, said(text, input_format))


@settings(max_examples=300, deadline=None)
@given(texts.map("".join).filter(str.isascii))
def test_every_letter_of_a_plain_text_is_said(text: str) -> None:
    answer = said(text, "text")
    written = re.sub(r"\x1b\[1m", "    ", text)
    for part in answer.parts:
        if part.kind != "word":
            assert not any(map(str.isalnum, written[part.start : part.end]))


@settings(max_examples=300, deadline=None)
@given(texts.map("".join).filter(str.isascii))
@example("~~~~a")
def test_only_marks_are_silent_where_the_format_is_not_known(text: str) -> None:
    if "<speak>" in text:
        return
    answer = said(text)
    assert not answer.unspoken
    for part in answer.parts:
        if part.kind == "mark":
            rest = ALLOWED.sub("", text[part.start : part.end])
            assert not any(map(str.isalnum, rest)), text[part.start : part.end]


STRANGE = [
    "[",
    "*",
    "<",
    "`",
    "_",
    "](",
    "[a](",
    "<a ",
    "&",
    "#",
    "| ",
    "> ",
    "- ",
    "\n",
    "~",
    "\\",
    "a*",
    "<b>",
    "</b>",
    "<!--",
]
STRANGE += [
    "[pause:1s",
    "`a``b",
    "1. ",
    "(",
    "[a",
    "![",
    "a\x1b[",
    "\x1b]",
    "#1",
    "$1",
    "a@",
    "Mr. ",
    "\u0301",
    "<<",
    "=>",
    "**a ",
]


@pytest.mark.parametrize("strange", STRANGE)
def test_time_is_linear_in_texts_of_one_mark(strange: str) -> None:
    assert_linear(lambda length: said(strange * (length // len(strange))), 8_000)
