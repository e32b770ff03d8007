"""What one rank holds, beside what mlx-lm gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from providers.capabilities import MODALITIES
from providers.engines.process import platform
from providers.memory.estimate import estimate
from providers.memory.part import Split, largest_part
from providers.memory.tensors import Tensor, read_tensors
from providers.spec import ModelSpec
from tests.unit.providers.engines.group import families
from tests.unit.providers.engines.group.families import pipelined_families, sharded_families
from tests.unit.providers.memory.test_estimate import folder


class Group:
    def __init__(self, size: int, rank: int) -> None:
        self._size, self._rank = size, rank

    def size(self) -> int:
        return self._size

    def rank(self) -> int:
        return self._rank


def tensors_of(model: Any) -> list[Tensor]:
    flat: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    return [Tensor(name=name, dtype="F32", shape=tuple(a.shape), nbytes=a.nbytes) for name, a in flat]


def total(tensors: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("family", sharded_families())
def test_a_share_of_every_layer_is_what_mlx_lm_keeps(family: str) -> None:
    model: Any = families.build(family)
    whole = tensors_of(model)

    part = {tensor.name: tensor.nbytes for tensor in largest_part(whole, families.config(family), Split("tensor", 2))}

    model.shard(Group(2, 0))
    kept = {tensor.name: tensor.nbytes for tensor in tensors_of(model)}
    shapes = {tensor.name: tensor.shape for tensor in whole}
    # Vectors and biases may be overestimated, everything else is exact.
    for name, size in part.items():
        if len(shapes[name]) == 1 or name.endswith(".bias") or "gate_projections" in name:
            assert size >= kept[name]
        else:
            assert (name, size) == (name, kept[name])


@pytest.mark.parametrize("family", pipelined_families())
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_layers_of_a_stage_are_those_that_mlx_lm_keeps(family: str, ranks: int) -> None:
    layers = 7
    changes: dict[str, Any] = {
        "num_hidden_layers": layers,
        "layer_types": ["sliding_attention", "full_attention"] * 4,
        "is_moe_layer": [True] * layers,
        "moe_layer_freq": [1] * layers if family == "minimax_m3_vl" else 1,
        "layer_rope_theta": [1e4] * layers,
    }
    if family == "kimi_k3":
        linear = families.config(family)["linear_attn_config"]
        changes["linear_attn_config"] = {**linear, "kda_layers": [1, 3, 5, 7], "full_attn_layers": [2, 4, 6]}
    whole = tensors_of(families.build(family, **changes))

    part = largest_part(whole, families.config(family, **changes), Split("pipeline", ranks))

    held = []
    for rank in range(ranks):
        model: Any = families.build(family, **changes)
        model.model.pipeline(Group(ranks, rank))
        held.append(total(tensors_of(model)))
    # Layers differ in size; one family gives the extra layer to other ranks.
    assert total(part) == max(held) if family != "kimi_k3" else total(part) >= max(held)


def test_one_rank_holds_everything() -> None:
    whole = tensors_of(families.build("qwen2"))

    assert largest_part(whole, {}, Split("tensor", 1)) == whole
    assert largest_part(whole, {}, Split("pipeline", 1)) == whole


def test_names_of_a_gguf_file_are_known() -> None:
    def tensor(name: str, *shape: int) -> Tensor:
        return Tensor(name=name, dtype="Q", shape=shape, nbytes=1024)

    whole = [tensor("token_embd.weight", 64, 128), *(tensor(f"blk.{n}.attn_q.weight", 64, 64) for n in range(3))]
    whole += [tensor("blk.0.ffn_gate_inp.weight", 64, 4), tensor("output.weight", 64, 128)]

    assert [t.nbytes for t in largest_part(whole, {}, Split("tensor", 2))] == [1024, 512, 512, 512, 1024, 1024]
    assert [t.name for t in largest_part(whole, {}, Split("pipeline", 2))] == [
        "token_embd.weight",
        "blk.1.attn_q.weight",
        "blk.2.attn_q.weight",
        "output.weight",
    ]


def test_the_estimate_is_that_of_one_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "expected_device", lambda: "metal")
    made = folder(
        tmp_path,
        {"model_type": "llama", "num_hidden_layers": 2, "quantization": {"group_size": 32, "bits": 4}},
        **{
            "model.embed_tokens.weight": ("BF16", (1024, 64)),
            "model.norm.weight": ("BF16", (64,)),
            **{
                f"model.layers.{layer}.mlp.up_proj.{name}": (dtype, shape)
                for layer in range(2)
                for name, dtype, shape in (
                    ("weight", "U32", (128, 8)),
                    ("scales", "BF16", (128, 2)),
                    ("biases", "BF16", (128, 2)),
                )
            },
        },
    )
    spec = ModelSpec(name="m", path=str(made))
    outside, layer = 2 * 1024 * 64 + 2 * 64, 4 * 128 * 8 + 2 * 2 * 128 * 2
    process = MODALITIES["lm"].process_bytes

    assert estimate(spec) == process + outside + 2 * layer
    assert estimate(spec, Split("tensor", 2)) == process + outside + layer
    assert estimate(attrs.evolve(spec, tensor_parallel=2)) == process + outside + layer
    assert estimate(spec, Split("pipeline", 2)) == process + outside + layer


@pytest.mark.parametrize("family", ["qwen2", "qwen3_5"])
def test_quantised_weights_of_a_share_are_what_mlx_lm_keeps(tmp_path: Path, family: str) -> None:
    made = families.write(tmp_path, family, quantised=32, linear_value_head_dim=32, head_dim=32)
    whole = read_tensors(made / "model.safetensors")

    part = largest_part(whole, families.config(family), Split("tensor", 2))

    from mlx_lm.utils import load_model

    model: Any = load_model(made, lazy=True)[0]
    model.shard(Group(2, 0))
    kept = total(tensors_of(model))
    assert kept <= total(part) <= kept * 1.02
