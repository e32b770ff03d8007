"""Uploads of each test in a folder of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
