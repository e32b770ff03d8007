"""A rank's part of a model, by mlx-lm's own `shard` or `pipeline`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlx.nn.layers.distributed import AllToShardedLinear, QuantizedAllToShardedLinear
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear

from providers.engines.group.ranks import Ranks
from providers.engines.group.shardable import check_shardable, shard_evenly
from providers.engines.process.engine import EngineLoadError
from providers.engines.process.mlx_lm_internals.layers import change_class
from providers.memory.part import split_of
from providers.spec import ModelSpec

__all__ = ["check", "divide"]

_PLAIN: dict[type[Any], type[Any]] = {AllToShardedLinear: Linear, QuantizedAllToShardedLinear: QuantizedLinear}
"""Layers whose outputs are divided among the ranks, and layers of one process that compute the same."""


def check(folder: Path, spec: ModelSpec, ranks: Ranks) -> None:
    """Check that the model of a folder can be divided, where several ranks share it. Rank 0 does that for all.

    Raises:
        EngineLoadError: it cannot; the message says why, and what would work.
    """
    if ranks.size > 1 and ranks.leads:
        check_shardable(folder, ranks.size, split_of(spec).way, trust_remote_code=spec.trust_remote_code)


def divide(model: Any, config: Mapping[str, Any], spec: ModelSpec, ranks: Ranks) -> None:
    """Leave only this rank's part in the model, lazily. Its steps then exchange arrays with the other ranks.

    Raises:
        EngineLoadError: the model, as the options changed it, cannot be divided.
    """
    if split_of(spec).way == "pipeline":
        model.model.pipeline(ranks.world)
    elif (refusal := shard_evenly(model, config, ranks.world)) is not None:
        raise EngineLoadError(f"the model cannot be divided among {ranks.size} ranks: {refusal}")
    _make_plain(model)
    model.share_tokens = ranks.share


def _make_plain(model: Any) -> None:
    """Make layers that exchange nothing in a step those of one process.

    MLX's know of their group for gradients only, and pass every input through a function of Python for those. As layers
    of one process they are also those that a decode step of our own joins.
    """
    for _, module in model.named_modules():
        plain = _PLAIN.get(type(module))
        if plain is not None:
            del module.group
            change_class(module, plain)
