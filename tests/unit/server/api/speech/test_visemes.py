"""Every sound moves the mouth, in every set, and the times fit together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.speech import VisemeSet
from providers.engines.speech.text.lexicon import Lexicon
from providers.speech.types import SAMPLE_RATE, PhonemeSpan
from server.api.speech.viseme_tables import ARKIT, MARKS, OCULUS_NAMES, PHONEMES, RHUBARB_NAMES
from server.api.speech.visemes import speech_visemes, viseme_spans

SETS: tuple[VisemeSet, ...] = get_args(VisemeSet)
PUNCTUATION = set(';:,.!?—…"()“” ')
SPOKEN = sorted(PHONEMES)


def spans(*phonemes: str, length: int = 600) -> list[PhonemeSpan]:
    return [PhonemeSpan(phoneme, index * length, (index + 1) * length) for index, phoneme in enumerate(phonemes)]


def alphabet() -> dict[str, int]:
    config = files("providers.engines.convert").joinpath("kokoro_config.json").read_text(encoding="utf-8")
    vocabulary: dict[str, int] = json.loads(config)["vocab"]
    return vocabulary


def names(phonemes: Sequence[str], viseme_set: VisemeSet = "oculus") -> list[str]:
    return [span.viseme for span in viseme_spans(spans(*phonemes), viseme_set)]


@pytest.mark.parametrize("british", [False, True])
def test_every_letter_of_the_dictionaries_has_its_shapes(british: bool) -> None:
    lexicon = Lexicon(british=british)
    letters: set[str] = set()
    for entry in (*lexicon.golds.values(), *lexicon.silvers.values()):
        letters.update(*(filter(None, entry.values()) if isinstance(entry, dict) else [entry]))
    assert set(PHONEMES) >= letters - MARKS


def test_every_letter_of_kokoro_s_alphabet_has_its_shapes() -> None:
    assert set(alphabet()) - MARKS - PUNCTUATION == set(PHONEMES)


@pytest.mark.parametrize("viseme_set", SETS)
def test_every_letter_of_kokoro_s_alphabet_has_a_viseme_in_every_set(viseme_set: VisemeSet) -> None:
    for phoneme in set(alphabet()) - MARKS - PUNCTUATION:
        visemes = speech_visemes([PhonemeSpan(phoneme, 0, 2400)], viseme_set)

        assert all(viseme.viseme not in ("sil", "0", "X") for viseme in visemes), phoneme
        assert (visemes[0].start_time, visemes[-1].end_time) == (0.0, 0.1), phoneme


def test_every_shape_is_one_of_its_set() -> None:
    for oculus, azure, rhubarb in PHONEMES.values():
        assert set(oculus.split()) <= set(OCULUS_NAMES)
        assert {int(id) for id in azure.split()} <= set(range(1, 22))
        assert set(rhubarb.split()) <= set(RHUBARB_NAMES) - {"X"}


def test_every_shape_of_every_set_is_used() -> None:
    for column, known in enumerate((set(OCULUS_NAMES) - {"sil"}, set(map(str, range(1, 22))), set("ABCDEFGH"))):
        assert {shape for row in PHONEMES.values() for shape in row[column].split()} == known


def test_no_sound_is_silent() -> None:
    assert "sil" not in names(SPOKEN)


def test_arkit_has_weights_for_every_shape_and_they_are_fractions() -> None:
    assert set(ARKIT) == set(OCULUS_NAMES)
    assert all(0 < weight <= 1 for weights in ARKIT.values() for weight in weights.values())
    assert len({tuple(sorted(weights.items())) for weights in ARKIT.values()}) == len(ARKIT), "two shapes look alike"


@pytest.mark.parametrize(
    ("viseme_set", "expected"),
    [
        ("oculus", ["sil", "PP", "FF", "TH", "DD", "SS", "CH", "nn", "RR", "kk", "aa", "E", "I", "O", "U"]),
        ("azure", ["0", "21", "18", "19", "19", "15", "16", "19", "13", "20", "1", "4", "6", "3", "7"]),
        ("rhubarb", ["X", "A", "G", "B", "B", "B", "B", "B", "B", "B", "C", "C", "B", "E", "F"]),
    ],
)
def test_the_published_tables_are_followed(viseme_set: VisemeSet, expected: list[str]) -> None:
    assert names(["", *"pfθtsʃnɹkæɛiɔu"], viseme_set) == expected


@pytest.mark.parametrize(
    ("phoneme", "oculus", "azure", "rhubarb"),
    [
        ("A", ["E", "I"], ["4", "6"], ["C", "B"]),
        ("I", ["aa", "I"], ["11"], ["D", "B"]),
        ("W", ["aa", "U"], ["9"], ["D", "E"]),
        ("Y", ["O", "I"], ["10"], ["E", "B"]),
        ("O", ["O", "U"], ["8", "4"], ["E", "F"]),
        ("Q", ["E", "U"], ["1", "4"], ["E", "F"]),
        ("ʧ", ["CH"], ["19", "16"], ["B"]),
    ],
)
def test_diphthongs_move_from_one_shape_to_another(
    phoneme: str, oculus: list[str], azure: list[str], rhubarb: list[str]
) -> None:
    assert [names([phoneme], name) for name in ("oculus", "azure", "rhubarb")] == [oculus, azure, rhubarb]


def test_the_first_half_of_a_diphthong_is_the_longer_one() -> None:
    first, second = viseme_spans([PhonemeSpan("I", 1000, 2000)])
    assert (first.start, first.end, second.start, second.end) == (1000, 1600, 1600, 2000)
    assert first.phoneme == second.phoneme == "I"


def test_a_diphthong_of_one_sample_has_one_shape() -> None:
    assert [span.viseme for span in viseme_spans([PhonemeSpan("I", 5, 6)])] == ["aa"]


@pytest.mark.parametrize(("marked", "bare"), [("iː", "i"), ("ˈɑː", "ɑ"), ("tʰ", "t"), ("ɔ\u0303", "ɔ")])
def test_marks_change_no_shape(marked: str, bare: str) -> None:
    assert [names([marked], viseme_set) for viseme_set in SETS] == [names([bare], viseme_set) for viseme_set in SETS]


def test_an_unknown_sound_still_moves_the_mouth() -> None:
    assert names(["\u0298", "ː"]) == ["E", "E"]


@pytest.mark.parametrize("viseme_set", SETS)
@given(
    sounds=st.lists(st.tuples(st.sampled_from(["", *SPOKEN]), st.integers(1, 3000)), min_size=1, max_size=40),
    start=st.integers(0, 10**7),
)
def test_the_shapes_are_contiguous_whatever_the_sounds(
    viseme_set: VisemeSet, sounds: list[tuple[str, int]], start: int
) -> None:
    given_spans, position = [], start
    for phoneme, length in sounds:
        given_spans.append(PhonemeSpan(phoneme, position, position + length))
        position += length

    visemes = speech_visemes(given_spans, viseme_set)

    assert visemes[0].start_time == start / SAMPLE_RATE
    assert visemes[-1].end_time == position / SAMPLE_RATE
    assert all(one.end_time == next.start_time for one, next in pairwise(visemes))
    assert all(one.start_time < one.end_time for one in visemes)
    assert all((one.phoneme == "") == (one.viseme in ("sil", "0", "X")) for one in visemes)


def test_ids_are_places_in_the_set() -> None:
    sounds = spans("", "p", "u", "l")
    assert [viseme.viseme_id for viseme in speech_visemes(sounds, "oculus")] == [0, 1, 14, 8]
    assert [viseme.viseme_id for viseme in speech_visemes(sounds, "arkit")] == [0, 1, 14, 8]
    assert [viseme.viseme_id for viseme in speech_visemes(sounds, "azure")] == [0, 21, 7, 14]
    assert [viseme.viseme_id for viseme in speech_visemes(sounds, "rhubarb")] == [0, 1, 6, 8]


def test_only_arkit_has_weights() -> None:
    for viseme_set in SETS:
        (viseme,) = speech_visemes(spans("æ"), viseme_set)
        assert (viseme.blendshapes is not None) == (viseme_set == "arkit")
    assert viseme.blendshapes is None
    (open_mouth,) = speech_visemes(spans("æ"), "arkit")
    assert open_mouth.blendshapes is not None
    assert open_mouth.blendshapes["jawOpen"] > 0.5
