"""LoRA adapters of models that read pictures change their language model, in the forms that trainers write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_vlm.utils import apply_lora_layers, load_model

from providers.engines.language.multimodal import load_multimodal_model
from providers.engines.process.engine import EngineLoadError
from providers.engines.vision.adapters import layer_names
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny_vision
from tests.unit.providers.engines.adapter_files import RANK, products, write_adapter, write_peft_adapter

PROMPT = mx.array([[5, 80, 17, 42, 9, 200, 33]], dtype=mx.uint32)
SCALE = 2.0


def load(folder: Path, *adapters: Path, scales: tuple[float, ...] = ()) -> Any:
    paths = tuple(map(str, adapters))
    spec = ModelSpec(name="tiny", path=str(folder), lora_paths=paths, lora_scales=scales, dtype="float32")
    return load_multimodal_model(spec, "cpu", lambda stage, fraction: None).model


def logits(model: Any) -> Any:
    return np.array(model(PROMPT, model.make_cache()))


def changed(folder: Path) -> Any:
    """The logits of the model with `SCALE × B·A` in its weights."""
    model = load(folder)
    rename = layer_names(model._language)
    for name, a, b in products(3):
        module = model._language
        for part in rename(name).split("."):
            module = module[int(part)] if part.isdigit() else getattr(module, part)
        module.weight = module.weight + SCALE * (b @ a)
    return logits(model)


def assert_same(ours: Any, expected: Any) -> None:
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()


def of_mlx_vlm(folder: Path) -> Path:
    """As mlx-vlm's trainer names layers: from the root of the whole model."""
    keys = [f"language_model.{name}" for name, _, _ in products(3)]
    return write_adapter(folder, scale=SCALE, prefix="language_model.", keys=keys)


def of_mlx_vlm_before(folder: Path) -> Path:
    """The form of mlx-vlm's older trainer."""
    folder.mkdir()
    tensors = {}
    for name, a, b in products(3):
        tensors |= {f"language_model.{name}.A": a.T, f"language_model.{name}.B": b.T}
    mx.save_safetensors(str(folder / "adapters.safetensors"), tensors)
    (folder / "adapter_config.json").write_text(json.dumps({"rank": RANK, "alpha": SCALE * RANK, "dropout": 0.1}))
    return folder


def of_mlx_lm(folder: Path) -> Path:
    """An adapter of the text model by itself."""
    return write_adapter(folder, scale=SCALE)


def of_peft(folder: Path) -> Path:
    return write_peft_adapter(folder, alpha=SCALE * RANK)


@pytest.mark.parametrize("write", [of_mlx_vlm, of_mlx_vlm_before, of_mlx_lm, of_peft])
def test_the_logits_are_those_of_the_weights_plus_scale_times_b_a(
    folder: Path, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    ours, expected = logits(load(folder, write(tmp_path / "adapter"))), changed(folder)

    assert_same(ours, expected)
    assert np.abs(ours - logits(load(folder))).max() > 0.05 * np.abs(expected).max()


def test_several_adapters_have_their_scales(folder: Path, tmp_path: Path) -> None:
    adapters = [write(tmp_path / write.__name__) for write in (of_mlx_vlm, of_peft)]

    assert_same(logits(load(folder, *adapters, scales=(1.5, -0.5))), changed(folder))


@pytest.mark.parametrize("write", [of_mlx_vlm, of_mlx_vlm_before])
def test_an_adapter_changes_what_it_does_in_mlx_vlm(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder, adapter = tiny_vision.write_folder(tmp_path / "model", "pixtral"), write(tmp_path / "adapter")
    model: Any = apply_lora_layers(load_model(folder), str(adapter))
    model.eval()

    assert_same(logits(load(folder, adapter)), np.array(model.language_model(PROMPT).logits))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
        ("model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
        ("model.language_model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
        ("language_model.model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
        ("model.text_model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
        ("language_model.lm_head", "lm_head"),
        ("model.embed_tokens", "model.embed_tokens"),
        ("visual.blocks.0.attn.qkv", None),
        ("vision_tower.encoder.layers.0.self_attn.q_proj", None),
        ("model.vision_model.layers.0.self_attn.q_proj", None),
        ("multi_modal_projector.linear_1", None),
    ],
)
def test_layers_have_the_names_of_the_language_model(given: str, expected: str | None) -> None:
    class Language:
        model = None

    rename = layer_names(Language())
    if expected is not None:
        assert rename(given) == expected
        return
    with pytest.raises(ValueError, match="no layer of the language model"):
        rename(given)


@pytest.mark.parametrize("prefix", ["vision_tower.", "model.visual."])
def test_an_adapter_of_the_tower_is_refused_by_the_name_of_its_layer(folder: Path, tmp_path: Path, prefix: str) -> None:
    adapter = write_adapter(tmp_path / "adapter", prefix=prefix)

    with pytest.raises(EngineLoadError, match=f"--lora-paths: .*{prefix}model.layers.*vision tower"):
        load(folder, adapter)


def test_a_folder_without_an_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match="--lora-paths"):
        load(folder, tmp_path)
