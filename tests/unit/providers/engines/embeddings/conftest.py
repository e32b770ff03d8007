"""A small encoder with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.providers.engines import tiny_encoders as tiny
from tests.unit.providers.engines.embeddings.stepped import Stepped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert_folder(tmp_path_factory.mktemp("bert") / "model")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Stepped:
    return Stepped(folder)
