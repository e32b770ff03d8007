"""A small model of each of two architectures, with an engine that no test changes and its judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.providers.engines import tiny_vision
from tests.unit.providers.engines.language.multimodal.seeing import (
    FAMILIES,
    Judge,
    Seeing,
)


@pytest.fixture(scope="module", params=FAMILIES)
def model_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(model_type: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.write_folder(tmp_path_factory.mktemp(model_type), model_type)


@pytest.fixture(scope="module")
def seeing(folder: Path) -> Seeing:
    return Seeing(folder)


@pytest.fixture(scope="module")
def judge(folder: Path, model_type: str, seeing: Seeing) -> Judge:
    return Judge(folder, model_type, seeing)
