"""The weights that one rank of several holds, by the names and shapes of the whole model's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from providers.memory.tensors import Tensor
from providers.spec import ModelSpec

__all__ = ["Split", "Way", "largest_part", "split_of"]

Way = Literal["tensor", "pipeline"]

_LAYER = re.compile(r"(?:^|\.)(?:layers|blk)\.(\d+)\.")
_WHOLE = frozenset(
    {
        # what chooses experts, and what is added around them
        *("gate", "router", "shared_expert_gate", "pre_expert_proj", "post_expert_proj"),
        # projections to a latent space that all heads share
        *("q_a_proj", "kv_a_proj_with_mqa", "kv_proj", "f_a_proj", "g_a_proj"),
        # what chooses the keys to attend to, and hyper-connections
        *("indexer", "attn_hc", "ffn_hc"),
        # the same in a GGUF file
        *("ffn_gate_inp", "ffn_gate_inp_shexp", "attn_q_a", "attn_kv_a_mqa"),
    }
)
"""Parts of names: matrices of a layer that every rank keeps whole."""
_DIVIDED_HEAD = frozenset({"muse_spark", "qwen3_5", "qwen3_5_moe"})
"""Families in which each rank computes the logits of a part of the vocabulary."""


@attrs.frozen
class Split:
    """How a model is divided: `tensor` divides every layer among the ranks, `pipeline` deals out the layers."""

    way: Way
    ranks: int


def split_of(spec: ModelSpec) -> Split:
    """How the spec divides its model."""
    return Split("pipeline" if spec.pipeline > 1 else "tensor", spec.ranks)


def largest_part(tensors: Sequence[Tensor], config: Mapping[str, Any], split: Split) -> list[Tensor]:
    """The tensors of the rank that holds most.

    Vectors (norms, biases) count whole, though some are divided: a bound that is too high by less than 1 %. A family
    that mlx-lm cannot split is not noticed.
    """
    if split.ranks == 1:
        return list(tensors)
    if split.way == "tensor":
        divides_head = config.get("model_type") in _DIVIDED_HEAD
        return [_share(tensor, split.ranks) if _is_divided(tensor, divides_head) else tensor for tensor in tensors]
    parts = (_stage(tensors, layers) for layers in _stages(tensors, config, split.ranks))
    return max(parts, key=lambda part: sum(tensor.nbytes for tensor in part))


def _is_divided(tensor: Tensor, divides_head: bool) -> bool:
    if len(tensor.shape) < 2:
        return False
    components = tensor.name.split(".")
    if _LAYER.search(tensor.name) is None:
        return divides_head and "lm_head" in components
    return components[-1] != "bias" and _WHOLE.isdisjoint(components)


def _share(tensor: Tensor, ranks: int) -> Tensor:
    """One of the equal shares, along an axis that divides; the tensor itself where none does."""
    for axis, length in enumerate(tensor.shape):
        if length % ranks == 0:
            shape = (*tensor.shape[:axis], length // ranks, *tensor.shape[axis + 1 :])
            return attrs.evolve(tensor, shape=shape, nbytes=tensor.nbytes // ranks)
    return tensor


def _stage(tensors: Sequence[Tensor], layers: range) -> list[Tensor]:
    """The tensors of these layers, and those outside of layers: every rank has embeddings, last norm and head."""
    found = ((tensor, _LAYER.search(tensor.name)) for tensor in tensors)
    return [tensor for tensor, layer in found if layer is None or int(layer[1]) in layers]


def _stages(tensors: Sequence[Tensor], config: Mapping[str, Any], ranks: int) -> list[range]:
    """The layers of each rank, as mlx-lm deals them out: the last layers go to rank 0, which gets one more."""
    text = config.get("text_config")
    dimensions = {**config, **(text if isinstance(text, Mapping) else {})}
    numbers = [int(layer[1]) for tensor in tensors if (layer := _LAYER.search(tensor.name))]
    count = dimensions.get("num_hidden_layers")
    count = count if isinstance(count, int) else max(numbers, default=-1) + 1
    # One family keeps groups of its layers together.
    group = dimensions.get("layer_group_size") if config.get("model_type") == "bailing_hybrid" else None
    size = group if isinstance(group, int) and group > 0 else 1
    base, extra = divmod(count // size, ranks)
    lengths = [(base + (rank < extra)) * size + (count % size if rank == 0 else 0) for rank in range(ranks)]
    ends = [count - sum(lengths[:rank]) for rank in range(ranks)]
    return [range(end - length, end) for end, length in zip(ends, lengths, strict=True)]
