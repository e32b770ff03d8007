"""Whether mlx-lm can split a model over ranks: `python -P -m providers.engines.group.shardable FOLDER RANKS`.

mlx-lm itself answers. The model is built from its config and from the headers of its files, and its own `shard` or
`pipeline` splits it for a group that has a size and a rank and no connection. MLX is lazy: no weight is read.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import traceback
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import attrs

from providers.engines.process import platform
from providers.engines.process.engine import EngineLoadError
from providers.memory.part import Way

__all__ = ["check_shardable", "shard_evenly"]

_TRIED = 16
"""Ranks up to which a refusal looks for numbers that would work."""
_DIMENSIONS = ("num_attention_heads", "num_key_value_heads", "intermediate_size", "moe_intermediate_size")
"""Dimensions that a refusal names where they do not divide."""


def check_shardable(folder: Path, ranks: int, way: Way, *, trust_remote_code: bool = False) -> None:
    """Ask mlx-lm whether the model of a folder can be split over this number of ranks.

    Call it before any other thread of the process uses MLX: while `shard` runs, `mx.eval` does nothing.

    Args:
        way: `tensor` splits every layer by its heads, `pipeline` gives each rank some of the layers.

    Raises:
        EngineLoadError: it cannot; the message names the family, what prevents it, and the numbers that would work.
    """
    built = _Built.of(folder, trust_remote_code)
    refusal = _refusal(built, ranks, way)
    if refusal is None:
        return
    words = {"tensor": "tensor parallelism", "pipeline": "a pipeline"}[way]
    message = f"{built.family} cannot be served by {words} of {ranks} ranks: {refusal}"
    if not _is_offered(built.model, way):
        raise EngineLoadError(message)
    others = (number for number in range(2, _TRIED + 1) if number != ranks)
    works = [number for number in others if _refusal(_Built.of(folder, trust_remote_code), number, way) is None]
    advice = f"it can by {', '.join(map(str, works))}" if works else f"nor by any other number up to {_TRIED}"
    raise EngineLoadError(f"{message}; {advice}")


def shard_evenly(model: Any, config: Mapping[str, Any], group: Any) -> str | None:
    """Leave this rank's part in the model, by mlx-lm's own `shard`; MLX reads no weight yet.

    `group`: what has a size and a rank. Returns why the model cannot be divided, in words; None: it was. A model that
    could not is in no state to be used.
    """
    if not _is_offered(model, "tensor"):
        return "mlx-lm has no `shard` for this family"
    modules = dict(model.named_modules())
    counts, sizes, ranks = _counts(model), _sizes(model), group.size()
    try:
        model.shard(group)
    except Exception as error:
        return _in_words(error, modules, config, ranks)
    # `//=` on heads and slices of weights drop a remainder silently.
    divided, shards = _counts(model), _sizes(model)
    found = {
        f"{name.rpartition('.')[2]} is {count} ({name.rpartition('.')[0]})": name.rpartition(".")[2]
        for name, count in counts.items()
        if not _is_even(count, divided.get(name, count), ranks)
    }
    # mlx lists the last layer first.
    first = {attribute: words for words, attribute in found.items()}
    cut = [
        f"{name} has {size} values"
        for name, size in sizes.items()
        if (shard := shards.get(name, size)) != size and shard * ranks % size != 0
    ]
    uneven = [*first.values(), *cut[-1:]]
    return f"{', '.join(uneven)}, which {ranks} does not divide" if uneven else None


@attrs.frozen
class _Built:
    """A model whose weights are not read."""

    model: Any
    config: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, trust_remote_code: bool) -> _Built:
        from mlx_lm.utils import load_model

        try:
            return cls(*load_model(folder, lazy=True, strict=False, trust_remote_code=trust_remote_code))
        except KeyError as error:
            raise EngineLoadError(f"{folder / 'config.json'}: {error} is missing") from error
        except Exception as error:
            raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error

    @property
    def family(self) -> str:
        return str(self.config.get("model_type", "the model"))


@attrs.frozen
class _Rank:
    """What `shard` and `pipeline` read of a group."""

    _size: int
    _rank: int

    def size(self) -> int:
        return self._size

    def rank(self) -> int:
        return self._rank


def _is_offered(model: Any, way: Way) -> bool:
    if way == "tensor":
        return hasattr(model, "shard")
    return hasattr(getattr(model, "model", None), "pipeline")


def _refusal(built: _Built, ranks: int, way: Way) -> str | None:
    """Why mlx-lm cannot divide the model, in words; None: it can. The model cannot be used afterwards."""
    if way == "pipeline":
        return _pipeline_refusal(built, ranks)
    with _nothing_evaluated():
        return shard_evenly(built.model, built.config, _Rank(ranks, 0))


def _is_even(before: int, after: int, ranks: int) -> bool:
    """Whether a count of heads was divided without remainder; fewer heads than ranks may be repeated instead."""
    return after in (before, before / ranks) or (after == 1 and ranks % before == 0)


def _pipeline_refusal(built: _Built, ranks: int) -> str | None:
    """Why mlx-lm cannot give each rank some of the layers, in words; None: it can."""
    if not _is_offered(built.model, "pipeline"):
        return "mlx-lm has no `pipeline` for this family"
    entry = built.model.model
    stack = next(module for module in entry.modules() if "layers" in module)
    layers = list(stack.layers)
    if ranks > len(layers):
        return f"it has {len(layers)} layers"
    for rank in range(ranks):
        try:
            entry.pipeline(_Rank(ranks, rank))
        except Exception as error:
            return f"{error}"
        finally:
            stack.layers = list(layers)
    return None


def _in_words(error: Exception, modules: Mapping[str, Any], config: Mapping[str, Any], ranks: int) -> str:
    """What `shard` refused: the layer, mlx's own words, and the dimensions of the config that do not divide."""
    said = str(error).removesuffix(".") or type(error).__name__
    place = _failing(error, modules)
    if place is not None:
        groups = getattr(modules[place], "group_size", None)
        said = f"{place}{f' (quantised in groups of {groups})' if groups else ''}: {said}"
    text = config.get("text_config")
    dimensions = {**config, **(text if isinstance(text, Mapping) else {})}
    uneven = [
        f"{name} is {value}"
        for name in _DIMENSIONS
        if isinstance(value := dimensions.get(name), int) and value % ranks != 0
    ]
    return f"{', '.join(uneven)}; {said}" if uneven else said


def _failing(error: Exception, modules: Mapping[str, Any]) -> str | None:
    """Path of the module that `shard` was splitting, found among the variables of the functions that ran."""
    paths = {id(module): path for path, module in modules.items() if path}
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            if id(value) in paths:
                return paths[id(value)]
    return None


def _counts(model: Any) -> dict[str, int]:
    """Every integer that a module holds, such as its heads."""
    return {
        f"{path}.{name}": value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if type(value) is int
    }


def _sizes(model: Any) -> dict[str, int]:
    from mlx.utils import tree_flatten

    flat: Any = tree_flatten(model.parameters())
    return {name: array.size for name, array in flat}


@contextlib.contextmanager
def _nothing_evaluated() -> Generator[None]:
    """Let `mx.eval` do nothing: some families evaluate each shard, which would read the weights."""
    import mlx.core as mx

    evaluate: Callable[..., None] = mx.eval
    mx.eval = lambda *_: None
    try:
        yield
    finally:
        mx.eval = evaluate


def main() -> None:
    """Print one JSON object: per way null if the model can be split so, else the reason."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("ranks", type=int)
    options = parser.parse_args()
    platform.prepare()
    answers: dict[str, str | None] = {}
    ways: tuple[Way, ...] = ("tensor", "pipeline")
    for way in ways:
        try:
            check_shardable(options.folder, options.ranks, way)
            answers[way] = None
        except EngineLoadError as error:
            answers[way] = str(error)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
