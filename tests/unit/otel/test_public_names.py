"""The public names of `otel`, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys

import otel


def test_the_public_names_are_sorted_and_exist() -> None:
    assert otel.__all__ == sorted(otel.__all__)
    assert all(hasattr(otel, name) for name in otel.__all__)


def test_importing_it_loads_neither_the_sdk_nor_an_exporter() -> None:
    heavy = ("opentelemetry.sdk.trace", "opentelemetry.exporter")
    code = f"import otel, sys; print([name for name in sys.modules if name.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
