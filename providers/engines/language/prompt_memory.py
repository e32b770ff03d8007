"""Whether a prompt's keys and values fit into memory, checked before they are computed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.models.cache import CacheList, make_prompt_cache

from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.prefix.cache import PrefixCache
from providers.engines.process.base import device_memory, free_memory
from providers.errors import OutOfMemory, PromptDoesNotFit
from providers.spec import ModelSpec

__all__ = ["CacheSize", "PromptMemory", "cache_size", "prompt_memory"]

_STEP = 256
"""Tokens by which mlx-lm's caches grow."""
_RETRY_SECONDS = 5.0


@attrs.frozen
class CacheSize:
    """Bytes of the caches of all layers, by the length of a sequence."""

    per_token: Mapping[int | None, int]
    """Bytes per token, by the most tokens that a layer holds; None: layers without a bound."""
    fixed: int = 0
    """Bytes of the states that do not grow."""

    def of_tokens(self, tokens: int) -> int:
        held = -(-tokens // _STEP) * _STEP
        grown = sum(size * (held if most is None else min(held, most)) for most, size in self.per_token.items())
        return self.fixed + grown

    def of_batch(self, lengths: Sequence[int]) -> int:
        """Bytes of a batch, in which every sequence is padded to the longest."""
        return len(lengths) * self.of_tokens(max(lengths, default=0))


def cache_size(model: Any) -> CacheSize:
    """The size of the caches that a model makes. Computes nothing: shapes are known before arrays are evaluated."""
    layers: list[Any] = make_prompt_cache(model)
    model(mx.zeros((1, 1), dtype=mx.uint32), cache=layers)
    per_token: Counter[int | None] = Counter()
    fixed = 0
    for layer in _flat(layers):
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if isinstance(keys, mx.array) and isinstance(values, mx.array):
            most = getattr(layer, "max_size", None) or getattr(layer, "chunk_size", None)
            per_token[most] += (keys.nbytes + values.nbytes) // keys.shape[2]
        else:
            fixed += int(layer.nbytes)
    return CacheSize(dict(per_token), fixed)


def _flat(layers: Sequence[Any]) -> list[Any]:
    return [part for layer in layers for part in (_flat(layer.caches) if isinstance(layer, CacheList) else [layer])]


class PromptMemory:
    """Decides whether prompts fit beside the weights and the sequences of the batch. The prefix cache gives way."""

    def __init__(
        self,
        size: CacheSize,
        prefixes: PrefixCache,
        limit: int,
        *,
        free: Callable[[], int] = free_memory,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make it when everything else of the model is in memory.

        Args:
            limit: bytes that MLX may hold in all.
            free: returns the bytes that can be allocated now.
            ranks: those that hold the model together.
        """
        self._size = size
        self._prefixes = prefixes
        self._limit = limit
        self._room = max(0, limit - mx.get_active_memory())
        """Bytes beside the weights."""
        self._free = free
        self._free_once: int | None = None
        self._reads_once = False
        self._ranks = ranks

    @contextlib.contextmanager
    def read_once(self) -> Iterator[None]:
        """Read once within the block how much is free: several prompts are inserted, and none is computed meanwhile.

        CUDA takes half a millisecond to say it.
        """
        self._reads_once = True
        try:
            yield
        finally:
            self._reads_once, self._free_once = False, None

    def _free_now(self) -> int:
        if self._free_once is not None:
            return self._free_once
        free = self._free()
        if self._reads_once:
            self._free_once = free
        return free

    def refuse_impossible(self, tokens: int) -> None:
        """Refuse a prompt of this length if it would not fit without any other sequence. Touches no arrays.

        Raises:
            PromptDoesNotFit: it never fits.
        """
        needed = self._size.of_tokens(tokens)
        if needed > self._room:
            raise PromptDoesNotFit(
                f"the keys and values of this prompt's {tokens} tokens take {_mb(needed)}; the model may use "
                f"{_mb(self._limit)}, of which its weights leave {_mb(self._room)}"
            )

    def make_room(self, tokens: int, lengths: Sequence[int], batch_bytes: int) -> None:
        """Make room for a prompt beside the sequences of the batch, at the expense of the prefix cache.

        Args:
            tokens: length of the prompt.
            lengths: tokens of each sequence in the batch, its prompt included, computed or not.
            batch_bytes: bytes that their caches take now.

        Raises:
            OutOfMemory: they leave too little. The prompt may fit once some have ended.
        """
        growth = max(0, self._size.of_batch([*lengths, tokens]) - batch_bytes)
        kept = self._prefixes.nbytes
        free = self._free_now() + mx.get_cache_memory()
        room = min(self._limit - mx.get_active_memory(), free) + kept
        if self._ranks.agree(growth > room):
            raise OutOfMemory(
                f"the keys and values of this prompt's {tokens} tokens need {_mb(growth)} more memory, of which "
                f"{_mb(max(0, room))} are free; it may fit once others have ended (answers in work: {len(lengths)})",
                retry_after=_RETRY_SECONDS,
            )
        self._prefixes.shrink(room - growth)
        self._prefixes.make_room(max(batch_bytes, growth))


def prompt_memory(model: Any, spec: ModelSpec, prefixes: PrefixCache, ranks: Ranks) -> PromptMemory:
    """The check for a loaded model, within the spec's limit or the device's memory."""
    return PromptMemory(cache_size(model), prefixes, spec.max_memory or device_memory(), ranks=ranks)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
