"""Nothing of a decode step stays in mlx-lm after a test."""

from __future__ import annotations

import pytest

from tests.unit.providers.engines import decode_stand_ins


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_stand_ins.restore_after(monkeypatch)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_stand_ins.install(monkeypatch)
