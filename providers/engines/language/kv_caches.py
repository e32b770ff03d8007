"""Key-value caches that take less memory: quantised, or of bounded length. Both can be batched like mlx-lm's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_cache
from mlx_lm.models.cache import CacheList, KVCache, RotatingKVCache, make_prompt_cache

from providers.engines.process.engine import EngineLoadError
from providers.spec import ModelSpec

__all__ = ["QuantizedCache", "make_layers", "shape_caches"]

_mlx_cache: Any = mlx_cache  # its classes are not annotated
_PARTS = 3
"""Arrays of `mx.quantize`: packed values, scales, biases."""


class QuantizedCache(CacheList):
    """Keys and values as `mx.quantize` packs them: one mlx-lm cache for each of its three arrays.

    mlx-lm's `QuantizedKVCache` cannot be batched (it has no `merge`). Here the parts do all that a batch does to a
    cache: they are `KVCache`s, or `BatchKVCache`s once merged. mlx-lm's attention accepts quantised keys and values
    from every cache that has `bits` and `group_size`.
    """

    def __init__(self, group_size: int, bits: int, *parts: Any) -> None:
        self.caches = parts or tuple(_mlx_cache.KVCache() for _ in range(_PARTS))
        self.group_size = group_size
        self.bits = bits

    @property
    def offset(self) -> Any:
        """Tokens held: a number, or in a batch an array with one number per sequence."""
        return self.caches[0].offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[tuple[mx.array, ...], tuple[mx.array, ...]]:
        """Append keys and values (sequences, heads, tokens, width).

        Returns all keys and all values, each as packed values, scales and biases.
        """
        packed = (mx.quantize(each, group_size=self.group_size, bits=self.bits) for each in (keys, values))
        fetched = [part.update_and_fetch(*pair) for part, *pair in zip(self.caches, *packed, strict=True)]
        all_keys, all_values = zip(*fetched, strict=True)
        return all_keys, all_values

    def make_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.caches[0].make_mask(*args, **kwargs)

    @classmethod
    def merge(cls, caches: list[QuantizedCache]) -> QuantizedCache:
        parts = zip(*(cache.caches for cache in caches), strict=True)
        return cls(caches[0].group_size, caches[0].bits, *(rows[0].merge(list(rows)) for rows in parts))

    def extract(self, idx: int) -> QuantizedCache:
        return type(self)(self.group_size, self.bits, *(part.extract(idx) for part in self.caches))


def make_layers(model: Any, spec: ModelSpec, model_type: str) -> list[Any]:
    """Shape the model's caches as the spec asks. Returns an empty cache of each layer.

    Raises:
        EngineLoadError: this architecture's cache cannot be batched or be as the spec asks.
    """
    shape_caches(model, spec)
    layers: list[Any] = make_prompt_cache(model)
    if not all(hasattr(layer, "merge") for layer in layers):
        raise EngineLoadError(f"models of type {model_type!r} cannot be batched by mlx-lm")
    return layers


def shape_caches(model: Any, spec: ModelSpec) -> None:
    """Make the model create the caches that the spec asks for. mlx-lm asks the model for every new one.

    Layers with a state instead of keys and values, and windows shorter than the bound, stay as they are.

    Raises:
        EngineLoadError: this model cannot have such caches; the message names the option.
    """
    if spec.kv_bits is not None:
        _replace(model, "--kv-bits", lambda layer: _quantized(layer, spec))
        try:
            mx.eval(model(mx.zeros((1, 2), dtype=mx.uint32), cache=make_prompt_cache(model)))
        except Exception as error:
            raise EngineLoadError(f"--kv-bits: this model's attention cannot use quantised keys: {error}") from error
    if spec.max_kv_size is not None:
        bound = spec.max_kv_size
        _replace(model, "--max-kv-size", lambda layer: _bounded(layer, bound))


def _replace(model: Any, option: str, change: Callable[[Any], Any]) -> None:
    own = getattr(model, "make_cache", None) or (lambda: [_mlx_cache.KVCache() for _ in model.layers])
    layers = own()
    if all(change(layer) is layer for layer in layers):
        kinds = ", ".join(sorted({type(layer).__name__ for layer in layers}))
        raise EngineLoadError(f"{option} has no effect on this model: its layers keep {kinds}")
    model.make_cache = lambda: [change(layer) for layer in own()]


def _quantized(layer: Any, spec: ModelSpec) -> Any:
    return QuantizedCache(spec.kv_group_size, spec.kv_bits or 8) if type(layer) is KVCache else layer


def _bounded(layer: Any, size: int) -> Any:
    longer = type(layer) is RotatingKVCache and layer.max_size > size
    return _mlx_cache.RotatingKVCache(max_size=size) if type(layer) is KVCache or longer else layer
