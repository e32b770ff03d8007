"""Weights widened before the loader asks for them: the same numbers in the same order, or none."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model, save_model
from mlx_lm.utils import save_config as write_config

from providers.engines.cpu import ahead
from providers.engines.language.loading import load_language_model
from providers.engines.process import platform
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.cpu.test_weight_layout import by_columns

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.find_blas() is None, reason="weights are widened for a BLAS"
)


def _bits(name: str, module: nn.Module) -> bool | dict[str, Any]:
    if not hasattr(module, "to_quantized"):
        return False
    return {"group_size": 32, "bits": 8} if "embed" in name or "lm_head" in name else True


def quantised(folder: Path, **config: Any) -> Path:
    """A model of 4 bits in this folder, with a table and an output of 8, as the embedded model has them."""
    model, content = load_model(tiny.write_folder(folder, **config))
    model, content = quantize_model(model, content, 32, 4, quant_predicate=_bits)
    (folder / "model.safetensors").unlink()
    save_model(folder, model)
    write_config(content, folder / "config.json")
    return folder


def loaded(folder: Path, **spec: Any) -> Any:
    return load_language_model(ModelSpec(name="tiny", path=str(folder), **spec), "cpu", lambda *_: None).model


def numbers(model: Any) -> dict[str, Any]:
    return {name: np.array(array) for name, array in tree_flatten(model.parameters())}


@pytest.mark.parametrize("tied", [True, False])
def test_the_model_gets_the_weights_that_it_would_have_computed(tmp_path: Path, tied: bool) -> None:
    folder = quantised(tmp_path, tie_word_embeddings=tied)
    plain = loaded(folder)

    ahead.begin(ModelSpec(name="tiny", path=str(folder)))
    begun = ahead._begun[folder].result()
    assert json.loads((folder / "config.json").read_text())["quantization"]["model.embed_tokens"]["bits"] == 8
    model = loaded(folder)

    weights = {id(module.weight) for _, module in model.named_modules() if "weight" in module}
    assert {id(array) for array in begun.values()} <= weights
    assert len(begun) == 14 + 1  # the table if it is the output's too, else the output
    expected, found = numbers(plain), numbers(model)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    for (_, one), (_, other) in zip(plain.named_modules(), model.named_modules(), strict=True):
        if isinstance(one, (nn.Linear, nn.Embedding)):
            assert by_columns(one.weight) == by_columns(other.weight)
    assert ahead.take(folder) == {}


@pytest.mark.parametrize(
    "spec", [{"quantize": 8}, {"dtype": "float16"}, {"max_memory": 1 << 30}, {"model_type": "embeddings"}]
)
def test_a_spec_that_asks_for_other_weights_gets_none(tmp_path: Path, spec: dict[str, Any]) -> None:
    folder = quantised(tmp_path)

    ahead.begin(ModelSpec(name="tiny", path=str(folder), **spec))

    assert ahead.take(folder) == {}


def test_weights_that_are_not_quantised_are_left_to_the_loader(tiny_folder: Path) -> None:
    ahead.begin(ModelSpec(name="tiny", path=str(tiny_folder)))

    assert ahead.take(tiny_folder) == {}


def test_broken_weights_are_left_to_the_loader(tmp_path: Path) -> None:
    folder = quantised(tmp_path)
    (folder / "model.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0 this is no header at all ...")

    ahead.begin(ModelSpec(name="tiny", path=str(folder)))

    assert ahead.take(folder) == {}


def test_arrays_that_the_model_changes_as_it_loads_them_are_not_replaced(tmp_path: Path) -> None:
    folder = quantised(tmp_path)

    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept = nn.Linear(64, 64).to_quantized(32, 4)
            self.changed = nn.Linear(64, 64).to_quantized(32, 4)

        def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
            return {**weights, "changed.scales": weights["changed.scales"] * 2}

    model = Changing()
    arrays = {f"{name}.{part}": mx.zeros((2, 2)) for name in ("kept", "changed") for part in ("weight", "scales")}
    (folder / "model.safetensors").unlink()
    mx.save_safetensors(str(folder / "model.safetensors"), arrays)

    assert ahead.names_of_quantised(model, folder) == {"kept"}
