"""The ids that stand for pictures."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from providers.engines.vision import pictures
from providers.engines.vision.architectures import ARCHITECTURES
from providers.engines.vision.pictures import Expansions, Reading
from providers.weights.config import READS_PICTURES

IMAGE = 7


def reading(*tokens: int) -> Reading:
    return Reading(tokens=tokens, inputs={}, grid=None)


def test_features_get_ids_that_no_vocabulary_has() -> None:
    made = Expansions(IMAGE).add("a", reading(1, IMAGE, IMAGE, 2, IMAGE))

    assert list(made.tokens) == [1, -1, -2, 2, -3]
    assert (made.first, made.count) == (-1, 3)


def test_the_same_picture_has_the_same_ids_and_another_has_others() -> None:
    expansions = Expansions(IMAGE)
    first = expansions.add("a", reading(IMAGE, IMAGE))
    other = expansions.add("b", reading(IMAGE))

    assert expansions.add("a", reading(IMAGE, IMAGE)) is first
    assert expansions.find("a") is first
    assert expansions.find("c") is None
    assert list(other.tokens) == [-3]


def test_a_picture_in_use_keeps_its_ids_when_the_table_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_EXPANSION_BYTES", 8)
    expansions = Expansions(IMAGE)
    used = expansions.add("a", reading(*[IMAGE] * 4))
    expansions.add("b", reading(*[IMAGE] * 4))
    gc.collect()

    assert expansions.find("a") is used
    assert expansions.find("b") is None
    assert list(expansions.add("b", reading(IMAGE)).tokens) == [-9]


def test_ids_do_not_return_when_all_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_LOWEST", -3)
    expansions = Expansions(IMAGE)
    expansions.add("a", reading(IMAGE, IMAGE))

    with pytest.raises(OverflowError):
        expansions.add("b", reading(IMAGE))


def test_rows_are_found_among_the_ids_of_other_pictures() -> None:
    expansions = Expansions(IMAGE)
    expansions.add("a", reading(IMAGE, IMAGE))
    made = expansions.add("b", reading(IMAGE, IMAGE, IMAGE))

    places, rows = made.rows(np.array([5, -2, -4, -5, 0, -3], dtype=np.int32))

    assert places.tolist() == [2, 3, 5]
    assert rows.tolist() == [1, 2, 0]
    assert made.is_in([-5])
    assert not made.is_in([-6, -2, 3])


def test_models_are_guessed_to_read_pictures_where_the_engine_can() -> None:
    assert set(ARCHITECTURES) == READS_PICTURES
