"""Times of phonemes and words: complete, in order, and where the sound is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.engines.speech.text.g2p import is_sound
from providers.engines.speech.timing import FRAME, LEAD, Layout, Timed
from providers.speech.types import WordSpan

symbols = st.lists(st.text(alphabet="abtkˈˌː", min_size=1, max_size=6), min_size=1, max_size=12)


@st.composite
def pieces(draw: st.DrawFn) -> tuple[str, list[int], list[str], list[int]]:
    words = [f"b{word}a" for word in draw(symbols)]
    text, owners = "", []
    for number, word in enumerate(words):
        mark = draw(st.sampled_from(["", ",", ".", "”", "—"]))
        gap = " " if number < len(words) - 1 else ""
        text += word + mark + gap
        owners += [number] * len(word + mark) + [-1] * len(gap)
    frames = draw(st.lists(st.integers(1, 20), min_size=len(text) + 2, max_size=len(text) + 2))
    return text, owners, words, frames


def check(timed: Timed, words: list[str]) -> None:
    at = 0
    for span in timed.phonemes:
        assert span.start == at < span.end
        at = span.end
    assert at == len(timed.samples)
    assert [span.word for span in timed.words] == words
    heard = [span for span in timed.phonemes if span.phoneme]
    for word in timed.words:
        assert any(word.start <= span.start and span.end <= word.end for span in heard)
    for before, after in zip(timed.words, timed.words[1:], strict=False):
        assert before.end <= after.start


@settings(max_examples=300, deadline=None)
@given(pieces(), st.integers(0, 2**32 - 1))
def test_spans_are_contiguous_and_every_word_sounds(
    piece: tuple[str, list[int], list[str], list[int]], seed: int
) -> None:
    text, owners, words, frames = piece
    samples = np.random.default_rng(seed).normal(size=sum(frames) * FRAME).astype(np.float32)
    samples[: frames[0] * FRAME] = 0
    layout = Layout(frames, text, owners, [WordSpan(word, 0, 0) for word in words])
    timed = layout.timed(samples)
    check(timed, words)
    start, end = layout.audible(1200)
    check(layout.trimmed(samples[start:end], start, rest=1200), words)
    assert all(is_sound(span.phoneme) for span in timed.phonemes if span.phoneme)


def test_a_space_is_shared_a_stress_goes_to_its_vowel_and_a_pause_is_silence() -> None:
    text, frames = "tˈa ka,", [4, 2, 1, 3, 2, 2, 4, 3, 2]
    samples = np.ones(sum(frames) * FRAME, np.float32)
    timed = Layout(frames, text, [0, 0, 0, -1, 1, 1, 1], [WordSpan("ta", 0, 0), WordSpan("ka", 0, 0)]).timed(samples)
    start = 4 * FRAME - LEAD
    assert [
        (span.phoneme, (span.start - start) / FRAME, (span.end - start) / FRAME) for span in timed.phonemes[1:-1]
    ] == [
        ("t", 0, 2),
        ("a", 2, 7),
        ("k", 7, 10),
        ("a", 10, 14),
    ]
    assert [(span.word, span.start, span.end) for span in timed.words] == [
        ("ta", start, start + 7 * FRAME),
        ("ka", start + 7 * FRAME, start + 14 * FRAME),
    ]


def test_the_last_sound_ends_where_it_is_last_heard() -> None:
    frames = [4, 2, 10, 1]
    samples = np.zeros(17 * FRAME, np.float32)
    samples[2 * FRAME : 8 * FRAME] = 0.5
    timed = Layout(frames, "ta", [0, 0], [WordSpan("ta", 0, 0)]).timed(samples)
    assert timed.words[0].end == 8 * FRAME
