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


ENGINES = ("embeddings", "image", "language", "speech", "transcription")
SHARED = ("convert", "cpu", "decode", "output", "prefix", "process", "sampling", "structured", "vision")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the packages that the rules name, empty but for one import of mlx."""
    engines = [f"providers/engines/{name}" for name in (*ENGINES, *SHARED)]
    for package in ("contracts", "otel", "providers", "providers/engines", "providers/image", *engines, "server"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "providers/spec.py").touch()
    (tmp_path / "providers/engines/process/platform.py").touch()
    (tmp_path / "providers/engines/language/engine.py").write_text("import mlx.core\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_rules_hold_for_a_tree_that_keeps_them(tree: Path) -> None:
    assert lint(tree).returncode == 0


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("contracts/chat.py", "import otel", "contracts imports no other room"),
        ("contracts/chat.py", "from litestar.datastructures import UploadFile", "contracts imports no web framework"),
        ("contracts/chat.py", "import granian", "contracts imports no web framework"),
        ("otel/tracing.py", "from providers import spec", "otel imports no other room"),
        ("providers/registry.py", "import server", "providers imports no room but otel"),
        ("providers/registry.py", "import mlx.core", "only the engines import mlx"),
        ("providers/image/provider.py", "import mflux", "only the engines import mlx"),
        ("server/app.py", "import mlx_lm", "only the engines import mlx"),
        ("server/app.py", "from providers.engines.language import engine", "engines are processes, never imported"),
        (
            "providers/registry.py",
            "from providers.engines.language import engine",
            "engines are processes, never imported",
        ),
        (
            "providers/engines/speech/engine.py",
            "from providers.engines.language import engine",
            "engines never import each other",
        ),
        (
            "providers/engines/sampling/kernels.py",
            "from providers.engines.language import engine",
            "what engines share imports no engine",
        ),
    ],
)
def test_a_broken_layer_is_found(tree: Path, module: str, line: str, rule: str) -> None:
    (tree / module).write_text(line + "\n")
    result = lint(tree)

    assert result.returncode != 0
    broken = [text for text in result.stdout.splitlines() if " BROKEN" in text]
    assert any(rule in text for text in broken), result.stdout
