"""The layer rules of pyproject.toml hold, and they bite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_layer_rules_hold() -> None:
    result = lint(ROOT)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("contracts/chat/request.py", "import otel", "contracts imports nothing of ours"),
        ("otel/tracing.py", "from providers import spec", "otel imports nothing of ours"),
        ("providers/registry.py", "import server", "providers imports otel alone"),
        ("providers/registry.py", "import mlx.core", "only the engines import mlx"),
        ("server/app.py", "import mlx_lm", "only the engines import mlx"),
        ("server/app.py", "from providers.engines import lm", "engines are processes, never imported"),
        ("providers/registry.py", "from providers.engines import lm", "engines are processes, never imported"),
    ],
)
def test_a_broken_layer_is_found(tmp_path: Path, module: str, line: str, rule: str) -> None:
    for package in ("contracts", "otel", "providers", "providers/engines", "server"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for file in ("providers/spec.py", "providers/engines/language/engine.py", "providers/engines/process/platform.py"):
        (tmp_path / file).write_text("import mlx.core\n" if file.endswith("lm.py") else "")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert lint(tmp_path).returncode == 0

    (tmp_path / module).write_text(line + "\n")
    result = lint(tmp_path)

    assert result.returncode != 0
    broken = [text for text in result.stdout.splitlines() if " BROKEN" in text]
    assert any(rule in text for text in broken), result.stdout
