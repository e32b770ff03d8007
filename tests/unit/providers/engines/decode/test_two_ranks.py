"""Two ranks that share a model have the logits and answers of one process, with mlx-lm's decode step and our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.providers.engines.decode.two_ranks import ANSWERED, CHANGES, FAMILIES

LAYERS = 3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the two ranks found, by case. All cases share two processes, whose imports take longest."""
    program = [
        sys.executable,
        "-m",
        "tests.unit.providers.engines.decode.two_ranks",
        str(tmp_path_factory.mktemp("models")),
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "providers.engines.group.launch", "2", "", *program],
        env={**os.environ, "MLX_DISABLE_COMPILE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1 + len(FAMILIES) * len(CHANGES) + len(ANSWERED), ran.stderr
    return {line.pop("case"): line for line in lines}


def test_a_compiled_function_sums_over_the_ranks(found: dict[str, Any]) -> None:
    assert found["compiled sums"]["far"] < 1e-6


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_one_process(found: dict[str, Any], family: str, change: str) -> None:
    case = found[f"{family}, {change}"]
    assert case["mlx-lm"] < 2e-6
    assert case["own"] < 2e-6
    assert (case["projections"], case["shortened"]) == (5 * LAYERS, LAYERS)


@pytest.mark.parametrize("name", ANSWERED)
def test_answers_are_those_of_one_process(found: dict[str, Any], name: str) -> None:
    case = found[name]
    expected = case["one, mlx-lm"]
    assert len(set(expected)) == len(expected), "the model says the same to everything: nothing is compared"
    assert case == {"one, mlx-lm": expected, "two, mlx-lm": expected, "one, own": expected, "two, own": expected}
