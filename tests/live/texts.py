"""Short texts in common styles: numbers, money, dates, Markdown, emoji, unusual words and signs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.spoken_text import normalize

__all__ = ["some", "spoken_words", "texts"]


def some(count: int) -> Callable[[Any], Any]:
    """`count` texts, the same in every run. SPEECH_TEXTS overrides `count`."""
    count = int(os.environ.get("SPEECH_TEXTS", count))
    ignored = list(HealthCheck)
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=ignored)


# fmt: off
_WORDS = [
    "the", "cat", "a", "I", "eye", "oh", "hello", "world", "rhythm", "strengths", "queue", "debate",
    "it's", "don't", "o'clock", "they're", "rock'n'roll", "well-known", "state-of-the-art",
    "antidisestablishmentarianism", "pneumonoultramicroscopic", "Kubernetes", "Zyxqor", "naïve",
    "café", "Citroën", "München", "NASA", "LLM", "GPUs", "iPhone", "McDonald", "x", "Y", "ok", "hmm",
    "shh", "psst", "Mr.", "Dr.", "St.", "e.g.", "etc.", "U.S.", "a.m.", "No.", "vs.",
]
# fmt: on

_numbers = st.one_of(
    st.integers(-(10**13), 10**13).map(str),
    st.integers(0, 2100).map(str),
    st.integers(0, 10**7).map("{:,}".format),
    st.floats(-1000, 1000).map("{:.2f}".format),
    st.tuples(st.sampled_from(["$", "€", "£", "¥"]), st.floats(0, 10**6)).map("{0[0]}{0[1]:,.2f}".format),
    st.tuples(st.integers(0, 200), st.sampled_from(["km", "kg", "%", "°C", "GB", "ms", "ft", "mph"])).map(
        "{0[0]} {0[1]}".format
    ),
    st.tuples(st.integers(0, 23), st.integers(0, 59)).map("{0[0]}:{0[1]:02}".format),
    st.dates().map(str),
    st.dates().map("{0:%d/%m/%Y}".format),
    st.dates().map("{0:%B} {0.day}, {0.year}".format),
    st.integers(1, 40).map("{}th".format),
    st.sampled_from(["1990s", "3/4", "1-2", "555-123-4567", "x²", "10^6", "IV", "1e9", "v2.0.1", "192.168.0.1", "007"]),
)
_marked = st.sampled_from(["**{}**", "*{}*", "`{}`", "~~{}~~", "# {}", "[{}](http://x.y/z)", "> {}", "- {}"])
# fmt: off
_signs = st.sampled_from([
    "—", "...", "?!", "&", "@", "#", "+", "=", "😀", "(", ")", "“", "”", "'", "-",
    "→", "§", "|", "你好", "Ω",
    "👩\u200d👩\u200d👧",
])
# fmt: on
_loose = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
_word = st.sampled_from(_WORDS)
_part = st.one_of(
    _word,
    _word,
    _numbers,
    _signs,
    st.tuples(_marked, _word).map(lambda given: given[0].format(given[1])),
    st.sampled_from(["https://example.com/a?b=1", "me@site.org", "/usr/bin", "a_b", "foo()", "C++", "#tag", "@you"]),
    _loose,
)
_joint = st.sampled_from([" ", " ", " ", ", ", ". ", "; ", ": ", "! ", "? ", "\n", "\n\n", "—", "/", "-"])


@st.composite
def _composed(draw: st.DrawFn) -> str:
    text = draw(_part)
    for _ in range(draw(st.integers(0, 5))):
        text += draw(_joint) + draw(_part)
    return text + draw(st.sampled_from(["", "", ".", "!", "?", "…", ","]))


texts = _composed().filter(str.strip)
"""Texts of about one to six words."""


def spoken_words(text: str, *, british: bool = False) -> list[str]:
    """The words of the text as spoken, without punctuation."""
    stripped = (word.strip(".,;:!?—…\"“”()'-") for word in normalize(text, british=british).split())
    return [word for word in stripped if any(map(str.isalpha, word))]
