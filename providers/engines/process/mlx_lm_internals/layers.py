"""mlx-lm's layers, their caches and their masks, as faster steps read and replace them.

| name in mlx-lm | used for |
| --- | --- |
| `BatchKVCache._idx`, `._right_padding` | where a cache holds the tokens of its only sequence |
| `BatchKVCache.make_mask`, `.left_padding` | a decode step knows which mask hides only padding |
| `BatchKVCache._idx`, `.keys`, `.values`, `.offset` | a decode step appends its token |
| `TransformerBlock.__call__` of `mlx_lm.models.*` | a decode step of fewer operations |
| `scaled_dot_product_attention`, `swiglu` in `mlx_lm.models.*` | replaced by faster ones |
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, KVCache

__all__ = ["append_token", "change_class", "replace_function", "tokens_of_one", "wrap_masks"]


def replace_function(model: Any, name: str, plain: Callable[..., Any], fast: Callable[..., Any]) -> None:
    """Replace mlx-lm's function of this name in the modules that define the model's layers."""
    names = {type(module).__module__ for module in model.modules()}
    for module in [sys.modules[name] for name in names if name.startswith("mlx_lm.models.")]:
        if getattr(module, name, None) is plain:
            setattr(module, name, fast)


_make_mask = BatchKVCache.make_mask


def wrap_masks(note: Callable[[mx.array, mx.array], None]) -> None:
    """Call `note` with every mask of a batched cache that hides only padding and what is after a query.

    Its arguments are the mask and the positions (sequences) at which the sequences begin. The last caller is notified.
    Prompts without padding before them get `causal` instead of an array, for which CUDA has a faster kernel.
    """

    def make_mask(cache: Any, N: int, return_array: bool = False, **kwargs: Any) -> Any:  # noqa: N803 - mlx-lm's name
        plain = not any(kwargs.values())
        if plain and N > 1 and not return_array and not any(cache.left_padding.tolist()):
            return "causal"
        mask = _make_mask(cache, N, return_array, **kwargs)
        if plain:
            note(mask, cache.left_padding)
        return mask

    BatchKVCache.make_mask = make_mask  # type: ignore[assignment, method-assign]


def append_token(cache: Any, keys: mx.array, values: mx.array, offset: mx.array) -> tuple[mx.array, mx.array]:
    """Append one token of every sequence to a batch of keys. Returns all keys and values.

    `offset`: the positions after this token. It saves an addition per layer, because all layers have the same.
    """
    place = cache._idx
    if cache.keys is None or place == cache.keys.shape[2]:
        fetched: tuple[mx.array, mx.array] = cache.update_and_fetch(keys, values)
        return fetched
    cache.keys[..., place : place + 1, :] = keys
    cache.values[..., place : place + 1, :] = values
    cache._idx, cache.offset = place + 1, offset
    return cache.keys[..., : place + 1, :], cache.values[..., : place + 1, :]


def tokens_of_one(cache: Any) -> range | None:
    """Where a cache of whole keys and values holds the tokens of its only sequence; None: it is of another kind."""
    if type(cache) is KVCache:
        return range(cache.offset)
    if type(cache) is BatchKVCache and len(cache.left_padding) == 1 and cache._right_padding is None:
        padding: Any = cache.left_padding.item()
        return range(padding, cache._idx)
    return None


def change_class(layer: Any, kind: type[Any]) -> None:
    """Make a layer of a model an object of a subclass of its class."""
    layer.__class__ = kind
