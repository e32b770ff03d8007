"""The models, and engines without speculation, whose outputs the others must equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.engines.language.speculation import making
from providers.engines.language.speculation.worth import Always
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.language.speculation.models import write_model


@pytest.fixture(autouse=True)
def single_answers_always_propose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that steps take on this machine decides nothing."""
    monkeypatch.setattr(making, "worth_of_one", lambda model: Always())


@pytest.fixture(scope="module")
def circling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("circling"), memory=False)


@pytest.fixture(scope="module")
def mindful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("mindful"), memory=True)


@pytest.fixture(scope="module")
def circles(circling: Path) -> SteppedEngine:
    return SteppedEngine(circling, dtype="float32")


@pytest.fixture(scope="module")
def minds(mindful: Path) -> SteppedEngine:
    return SteppedEngine(mindful, dtype="float32")
