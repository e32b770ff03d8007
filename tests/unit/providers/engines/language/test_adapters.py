"""LoRA adapters: their effect on the weights, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import quantize_model

from providers.engines.language.adapters import apply_adapters
from providers.engines.language.loading import LoadedModel, load_language_model
from providers.engines.process.engine import EngineLoadError
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.adapter_files import products, write_adapter, write_peft_adapter
from tests.unit.providers.engines.inprocess import SteppedEngine

PROMPT = mx.array([[5, 80, 17, 42, 9, 200, 33]])


def load(folder: Path, *adapters: Path, scales: tuple[float, ...] = (), **spec: Any) -> LoadedModel:
    paths = tuple(map(str, adapters))
    made = ModelSpec(name="tiny", path=str(folder), lora_paths=paths, lora_scales=scales, **spec)
    return load_language_model(made, "cpu", lambda stage, fraction: None)


def changed(folder: Path, *factors: tuple[int, float]) -> Any:
    """The model with `factor × B·A` added by hand, for each (seed, factor)."""
    model = load(folder).model
    weights = dict(tree_flatten(model.parameters()))
    for seed, factor in factors:
        for name, a, b in products(seed):
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + factor * (b @ a)
    model.load_weights(list(weights.items()))
    return model


def assert_same(model: Any, expected: Any, tolerance: float = 1e-4) -> None:
    ours, theirs = (np.array(each(PROMPT)) for each in (model, expected))
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def test_the_logits_are_those_of_the_weights_plus_scale_times_b_a(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", scale=2.0)

    loaded = load(tiny_folder, adapter)

    assert_same(loaded.model, changed(tiny_folder, (3, 2.0)))
    plain = np.array(load(tiny_folder).model(PROMPT))
    assert np.abs(np.array(loaded.model(PROMPT)) - plain).max() > 0.1 * np.abs(plain).max()
    assert not any("lora" in name for name, _ in tree_flatten(loaded.model.parameters()))


def test_several_adapters_are_added_up_with_their_scales(tiny_folder: Path, tmp_path: Path) -> None:
    one, two = write_adapter(tmp_path / "one", seed=3), write_adapter(tmp_path / "two", seed=4, scale=1.0)

    model = load(tiny_folder, one, two, scales=(0.5, -2.0)).model

    assert_same(model, changed(tiny_folder, (3, 1.0), (4, -2.0)))


@pytest.mark.parametrize(("stabilised", "factor"), [(False, 8.0 / 4), (True, 8.0 / 2)])
def test_an_adapter_of_peft_is_read_as_peft_means_it(
    tiny_folder: Path, tmp_path: Path, stabilised: bool, factor: float
) -> None:
    adapter = write_peft_adapter(tmp_path / "adapter", alpha=8.0, use_rslora=stabilised)

    assert_same(load(tiny_folder, adapter).model, changed(tiny_folder, (3, factor)))


def test_weights_that_stay_quantised_are_left_as_they_are_and_the_product_is_added(
    tiny_folder: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", size=0.002)
    model, plain = (load(tiny_folder).model for _ in range(2))
    for each in (model, plain):
        quantize_model(each, tiny.config(), 32, 4)
    before = np.array(model(PROMPT))

    apply_adapters(model, [str(adapter)], [1.0])

    after = np.array(model(PROMPT))
    layer, base = (each.model.layers[1].mlp.down_proj for each in (model, plain))
    x = mx.random.normal((3, 96), key=mx.random.key(1))
    _, a, b = products(3, 0.002)[-1]
    assert np.allclose(np.array(layer(x)), np.array(base(x) + 2.0 * (x @ a.T @ b.T)), atol=1e-4)
    assert np.abs(after - before).max() > 0
    with pytest.raises(EngineLoadError, match="--lora-paths takes one adapter if weights stay quantised"):
        apply_adapters(model, [str(adapter)], [1.0])


def test_an_adapter_is_part_of_what_is_quantised_at_load(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    expected = changed(tiny_folder, (3, 2.0))
    quantize_model(expected, tiny.config(), 64, 8)

    loaded = load(tiny_folder, adapter, quantize=8)

    assert loaded.dtype == "float32, quantised to 8 bits"
    assert_same(loaded.model, expected)


def test_the_engine_answers_with_the_adapter(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    plain = SteppedEngine(tiny_folder).ask("a", "hello", max_tokens=12).text

    adapted = SteppedEngine(tiny_folder, lora_paths=(str(adapter),))

    assert adapted.ask("a", "hello", max_tokens=12).text != plain
    assert adapted.info.details["adapters"] == ["adapter"]


def _without_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def _with_broken_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def _without_weights(folder: Path) -> None:
    (folder / "adapters.safetensors").unlink()


def _with_broken_weights(folder: Path) -> None:
    (folder / "adapters.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0 this is no header at all ...")


def _without_tensors(folder: Path) -> None:
    mx.save_safetensors(str(folder / "adapters.safetensors"), {})


def _config(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(content | changes))


def _with_another_rank(folder: Path) -> None:
    _config(folder, lora_parameters={"rank": 8, "scale": 1.0, "dropout": 0.0})


def _for_other_layers(folder: Path) -> None:
    _config(folder, lora_parameters={"rank": 4, "scale": 1.0, "dropout": 0.0, "keys": ["attention.wq"]})


def _without_scale(folder: Path) -> None:
    _config(folder, lora_parameters={"rank": 4, "dropout": 0.0})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_without_config, r"adapter_config\.json is missing"),
        (_with_broken_config, "not valid JSON"),
        (_without_weights, r"neither adapters\.safetensors .* nor adapter_model\.safetensors"),
        (_with_broken_weights, "JSON header"),
        (_without_tensors, "holds no tensors"),
        (_with_another_rank, r"adapter shape \(64, 4\) does not match model parameter shape \(64, 8\)"),
        (_for_other_layers, "not an adapter parameter in the model"),
        (_without_scale, "missing required key 'scale'"),
    ],
)
def test_an_unusable_adapter_is_refused_with_the_reason(
    tiny_folder: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    harm(adapter)
    with pytest.raises(EngineLoadError, match=rf"--lora-paths: .*{words}"):
        load(tiny_folder, adapter)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    other = tiny.write_folder(tmp_path / "other", hidden_size=96, num_attention_heads=4)
    with pytest.raises(EngineLoadError, match=r"--lora-paths: .*does not match model parameter shape"):
        load(other, adapter)


@pytest.mark.parametrize("setting", [{"use_dora": True}, {"peft_type": "IA3"}, {"rank_pattern": {"q_proj": 8}}])
def test_a_peft_adapter_of_another_kind_is_refused_by_name(
    tiny_folder: Path, tmp_path: Path, setting: dict[str, Any]
) -> None:
    adapter = write_peft_adapter(tmp_path / "adapter", **setting)
    with pytest.raises(EngineLoadError, match=f"this kind of PEFT adapter is not supported .*{next(iter(setting))}"):
        load(tiny_folder, adapter)
