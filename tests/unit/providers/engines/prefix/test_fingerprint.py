"""What a file of kept prompts belongs to: everything on which keys and values depend."""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path

import attrs
import pytest

from providers.capabilities import ModelType
from providers.chat.types import SamplingParams
from providers.engines.prefix.fingerprint import model_identity
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny


def test_the_identity_changes_with_whatever_the_numbers_depend_on(tmp_path: Path) -> None:
    folder = tiny.write_folder(tmp_path / "model")
    spec = ModelSpec(name="a", path=str(folder))
    before = model_identity(folder, spec, "float32")
    assert model_identity(folder, attrs.evolve(spec, name="b", max_concurrency=1), "float32") == before
    defaults = attrs.evolve(spec, sampling=SamplingParams(seed=1), max_tokens=9, chat_template="{{ messages }}")
    assert model_identity(folder, defaults, "float32") == before
    assert model_identity(folder, spec, "bfloat16") != before
    assert model_identity(folder, attrs.evolve(spec, quantize=4), "float32") != before

    for name, change in (
        ("chat_template.jinja", lambda path: path.write_text("{{ messages }}")),
        ("tokenizer.json", lambda path: path.write_text(path.read_text() + " ")),
        ("model.safetensors", lambda path: os.utime(path, (1, 1))),
    ):
        last = model_identity(folder, spec, "float32")
        change(folder / name)
        assert model_identity(folder, spec, "float32") != last, name


@pytest.mark.parametrize(("model_type", "changes"), [("lm", False), ("multimodal", True)])
def test_the_identity_changes_with_the_library_that_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: ModelType, changes: bool
) -> None:
    folder = tiny.write_folder(tmp_path / "model")
    spec = ModelSpec(name="a", path=str(folder), model_type=model_type)
    before = model_identity(folder, spec, "float32")

    monkeypatch.setattr("importlib.metadata.version", {"mlx-lm": version("mlx-lm"), "mlx-vlm": "99"}.__getitem__)

    assert (model_identity(folder, spec, "float32") != before) is changes


def test_the_identity_changes_with_the_files_of_an_adapter(tmp_path: Path) -> None:
    folder, adapter = tiny.write_folder(tmp_path / "model"), tmp_path / "adapter"
    adapter.mkdir()
    spec = ModelSpec(name="a", path=str(folder), lora_paths=(str(adapter),))
    before = model_identity(folder, spec, "float32")
    assert re.fullmatch("[0-9a-f]{40}", before)
    (adapter / "adapter_config.json").write_text("{}")
    assert model_identity(folder, spec, "float32") != before
