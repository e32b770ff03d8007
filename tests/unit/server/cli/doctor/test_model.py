"""How a model divides, as `doctor` shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.cli.doctor.model import divide
from tests.unit.providers.engines.group import families


def rows(path: Path | str, ranks: int) -> list[tuple[str, str, str]]:
    return [(finding.name, finding.state, finding.value) for finding in divide(str(path), ranks)]


def test_a_way_that_is_missing_is_a_note_where_the_other_works(tmp_path: Path) -> None:
    tensor, pipeline = rows(families.write(tmp_path, "qwen3"), 2)

    assert tensor[:2] == ("tensor", "ok")
    assert tensor[2].endswith("MB per rank, before any prompt")
    assert pipeline[:2] == ("pipeline", "note")
    assert "mlx-lm has no `pipeline`" in pipeline[2]


def test_a_model_that_does_not_divide_is_a_problem(tmp_path: Path) -> None:
    found = rows(families.write(tmp_path, "qwen3"), 3)

    assert [row[1] for row in found] == ["problem", "problem"]
    assert "it can by 2" in found[0][2]


def test_a_model_that_is_not_here_or_not_readable_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "config.json").write_text('{"model_type": "no_such_family"}')

    ((name, state, value),) = rows("nobody/no-such-model", 2)
    assert (name, state) == ("nobody/no-such-model", "problem")
    assert "models pull nobody/no-such-model" in value
    assert all(row[1] == "problem" and "not supported" in row[2] for row in rows(tmp_path, 2))


def test_a_file_is_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")

    ((_, state, value),) = rows(tmp_path / "model.gguf", 2)
    assert (state, "folders only" in value) == ("note", True)
