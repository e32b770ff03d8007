"""The parts of a decode step, of mlx-lm's and of our own."""

from __future__ import annotations

import pytest

from server.cli.bench.step import StepFailed, measure_step

PARTS = {"linears", "norms", "rotary", "attention", "sampling", "step", "host: build", "host: launch"}


def test_all_parts_are_measured() -> None:
    found = list(measure_step(None, "tiny", [2], 8))
    assert [(whose, count) for whose, count, *_ in found] == [("mlx-lm", 2)] * 8 + [("own", 2)] * 8
    assert {part for _, _, part, *_ in found} == PARTS
    assert all(milliseconds > 0 for *_, milliseconds, _ in found)
    assert {part for _, _, part, _, floor in found if floor} == {"linears", "attention", "step"}


def test_a_model_that_is_not_there_is_named(tmp_path: object) -> None:
    with pytest.raises(StepFailed, match="nowhere"):
        list(measure_step(f"{tmp_path}/nowhere", None, [1], 8))
