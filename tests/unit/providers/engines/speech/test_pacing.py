"""Streamed speech begins early and plays without a gap, at the speed of the machine that makes it."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engines.speech.pacing import MOST_HELD, OVERHEAD, SHORTEST, Pace, Playback, next_cut
from providers.engines.speech.timing import Border
from providers.speech.types import SAMPLE_RATE

RHYTHM = 0.1
"""Work for a sentence before its first sample, as a share of the work for its samples: as measured."""


@attrs.frozen
class Played:
    first: float
    """Seconds to the first audio."""
    whole: float
    gaps: list[float]
    parts: list[float]


def played(words: list[float], pauses: set[int], factor: float, *, sentences: int = 1) -> Played:
    """Play sentences of words of these lengths, in seconds, on a clock that only the work moves."""
    playback, pace, clock, gaps, parts = Playback(), Pace(factor), 0.0, [], []
    ends = [sum(words[: number + 1]) for number in range(len(words))]
    borders = [Border(round(at * SAMPLE_RATE), number + 1, number in pauses) for number, at in enumerate(ends[:-1])]
    energies = [float(number % 3) for number in range(len(borders))]
    end = round(ends[-1] * SAMPLE_RATE)
    first = 0.0
    for _ in range(sentences):
        at = 0
        clock += RHYTHM * factor * ends[-1]
        while at < end:
            wanted = playback.wanted(clock, pace.factor, (end - at) / SAMPLE_RATE)
            cut = next_cut(borders, energies, at, end, wanted)
            stop = end if cut is None else cut.at
            sound = (stop - at) / SAMPLE_RATE
            work = factor * (sound + OVERHEAD)
            clock += work
            if playback.began is not None:
                gaps.append(max(0.0, clock - playback.began - playback.sent))
            pace.measured(work, sound + OVERHEAD)
            playback.add(clock, sound)
            first = first or clock
            parts.append(sound)
            at = stop
    return Played(first, clock, gaps, parts)


WORDS = [0.3, 0.25, 0.4, 0.35, 0.2, 0.3] * 7
"""A sentence of 12.6 s, of words between 0.2 and 0.4 s."""


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.65])
def test_a_long_sentence_begins_within_a_quarter_of_its_time_and_has_no_gap(factor: float) -> None:
    heard = played(WORDS, {8, 15, 30}, factor)
    assert heard.first <= 0.25 * heard.whole
    assert max(heard.gaps) == 0


@pytest.mark.parametrize("factor", [0.75, 0.85])
def test_a_slow_machine_begins_later_and_has_no_gap(factor: float) -> None:
    heard = played(WORDS, {8, 15, 30}, factor)
    assert heard.first <= 0.3 * heard.whole
    assert max(heard.gaps) == 0


def test_a_machine_that_is_too_slow_keeps_back_what_it_will_lack_within_bounds() -> None:
    heard = played(WORDS, set(), 1.1)
    assert max(heard.gaps) < 0.1
    assert heard.first > played(WORDS, set(), 0.5).first
    assert played(WORDS, set(), 3.0).parts[0] <= 1.5 * MOST_HELD


def test_parts_grow_while_the_sound_before_plays() -> None:
    heard = played(WORDS, set(), 0.4)
    assert heard.parts[1] > heard.parts[0]
    assert len(heard.parts) <= 4


def test_many_sentences_play_without_a_gap() -> None:
    assert max(played(WORDS[:12], {5}, 0.7, sentences=20).gaps) == 0


def test_a_pause_is_a_better_place_than_the_quietest_word() -> None:
    borders = [Border(round(at * SAMPLE_RATE), at, at == 2) for at in range(1, 9)]
    cut = next_cut(borders, [9.0, 9.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0], 0, 9 * SAMPLE_RATE, (1.0, 4.0))
    assert cut is not None
    assert cut.chunk == 2
    quiet = next_cut(
        [attrs.evolve(border, pause=False) for border in borders], [9.0, 9.0, 0.0] + [9.0] * 5, 0, 216_000, (1.0, 4.0)
    )
    assert quiet is not None
    assert quiet.chunk == 3


def test_without_a_border_there_is_no_cut() -> None:
    assert next_cut([], [], 0, 10 * SAMPLE_RATE, (1.0, 1.5)) is None


@given(
    st.lists(st.floats(0.05, 1.5), min_size=1, max_size=60),
    st.sets(st.integers(0, 59)),
    st.floats(0.1, 3.0),
)
def test_every_sample_is_in_one_part_and_no_part_is_a_splinter(
    words: list[float], pauses: set[int], factor: float
) -> None:
    heard = played(words, pauses, factor)
    assert sum(heard.parts) == pytest.approx(sum(words), abs=0.01)
    assert all(part >= SHORTEST - 0.01 for part in heard.parts[:-1])
    assert len(heard.parts) == 1 or heard.parts[-1] >= 0.49


def test_after_a_gap_the_rest_plays_later() -> None:
    playback = Playback()
    for now, sound in pairwise([10.0, 1.0]):
        playback.add(now, sound)
    playback.add(15.0, 2.0)
    assert playback.buffered(15.0) == 2.0


def test_the_pace_is_what_was_measured_first_and_follows_what_comes() -> None:
    pace = Pace()
    pace.measured(0.4, 1.0)
    assert pace.factor == 0.4
    for _ in range(20):
        pace.measured(1.6, 2.0)
    assert pace.factor == pytest.approx(0.8, abs=0.01)
    pace.measured(1.0, 0.0)
    assert pace.factor == pytest.approx(0.8, abs=0.01)
