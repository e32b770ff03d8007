"""A rank's part of a model, by mlx-lm's own `shard` or `pipeline`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.engines.group.ranks import Ranks
from providers.engines.group.shardable import check_shardable, shard_evenly
from providers.engines.process.engine import EngineLoadError
from providers.memory.part import split_of
from providers.spec import ModelSpec

__all__ = ["check", "divide"]


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
    model.share_tokens = ranks.share
