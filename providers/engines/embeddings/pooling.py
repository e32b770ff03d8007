"""From vectors per token to one per text, by the model's folder (sentence-transformers' `1_Pooling/config.json`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx

__all__ = ["Pool", "read_json", "read_pooling", "unit"]

Pool = Callable[[mx.array, mx.array], mx.array]
"""Hidden states (rows, tokens, width) and a float mask (rows, tokens), padded on the right → (rows, width)."""


def _first(states: mx.array, mask: mx.array) -> mx.array:
    return states[:, 0]


def _last(states: mx.array, mask: mx.array) -> mx.array:
    last = mask.sum(axis=1).astype(mx.int32) - 1
    return mx.take_along_axis(states, last[:, None, None], axis=1)[:, 0]


def _max(states: mx.array, mask: mx.array) -> mx.array:
    return mx.where(mask[..., None] > 0, states, -mx.inf).max(axis=1)


def _mean(states: mx.array, mask: mx.array) -> mx.array:
    return (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)


def _root_mean(states: mx.array, mask: mx.array) -> mx.array:
    return (states * mask[..., None]).sum(axis=1) / mx.sqrt(mask.sum(axis=1, keepdims=True))


def _weighted_mean(states: mx.array, mask: mx.array) -> mx.array:
    return _mean(states, mask * mx.arange(1, mask.shape[1] + 1))


_MODES: dict[str, Pool] = {
    "cls_token": _first,
    "max_tokens": _max,
    "mean_tokens": _mean,
    "mean_sqrt_len_tokens": _root_mean,
    "weightedmean_tokens": _weighted_mean,
    "lasttoken": _last,
}
"""By the last part of the key in the file, in the order in which sentence-transformers concatenates several."""


def read_json(file: Path) -> dict[str, object]:
    """The object in the file; an empty one if there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_pooling(folder: Path) -> tuple[tuple[str, ...], Pool] | None:
    """The names of the model's poolings, and the function that applies them.

    None if the folder sets none, or if vectors need more than pooling (a dense layer): the model's own code pools then.
    """
    settings = read_json(folder / "1_Pooling" / "config.json")
    chosen = {name: pool for name, pool in _MODES.items() if settings.get(f"pooling_mode_{name}") is True}
    if not chosen or any(folder.glob("*_Dense")):
        return None

    def pool(states: mx.array, mask: mx.array) -> mx.array:
        return mx.concatenate([one(states, mask) for one in chosen.values()], axis=-1)

    return tuple(chosen), pool


def unit(vectors: mx.array) -> mx.array:
    """Each row divided by its length."""
    return vectors / mx.maximum(mx.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
