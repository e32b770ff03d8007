"""Prompts already computed, kept for the next turn: mlx-lm's LRUPromptCache, bounded in bytes."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import (
    CacheList,
    KVCache,
    LRUPromptCache,
    PromptTrie,
    PromptTrieResult,
    can_trim_prompt_cache,
    trim_prompt_cache,
)

__all__ = ["PrefixCache", "can_always_trim", "shared_length", "worth_keeping"]

logger = logging.getLogger(__name__)
_MODEL = "model"
_VALUE = "__value__"
"""Where mlx-lm's trie keeps what belongs to a node, beside the node's children."""
_UNBOUNDED = 1 << 30
MIN_SAVED = 16
"""Tokens. A cut is a chunk of its own, and a copy is as large as all that comes before it."""


def worth_keeping(boundaries: Sequence[int], cached: int) -> list[int]:
    """Those boundaries at which a copy saves more than a few tokens over the one before; `cached` has one already."""
    kept = [cached]
    for boundary in boundaries:
        if boundary - kept[-1] >= MIN_SAVED:
            kept.append(boundary)
    return kept[1:]


def can_always_trim(layers: Sequence[Any]) -> bool:
    """Whether caches such as these (empty ones) can be cut back to any prefix, however long they have become: a
    rotating one can until it has forgotten something."""
    return all(
        can_always_trim(layer.caches) if isinstance(layer, CacheList) else _can_always_trim(layer) for layer in layers
    )


def _can_always_trim(layer: Any) -> bool:
    return bool(layer.is_trimmable()) and not hasattr(layer, "max_size")


def shared_length(one: list[int], other: list[int]) -> int:
    """How many tokens two prompts begin with alike. By halving: slices are compared faster than tokens."""
    same, end = 0, min(len(one), len(other))
    while same < end:
        middle = (same + end + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same


class _Kept(list[Any]):
    """The layers of a kept cache. LRUPromptCache hands out deep copies, which cost more than a short prefix saves (28
    layers of 512 tokens: 5 ms on an H100); these share what they can."""

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [_shared(layer) if type(layer) is KVCache else copy.deepcopy(layer, memo) for layer in self]


def _shared(layer: Any) -> Any:
    """A cache of its own over the same buffers: slices are new arrays, and a write to one leaves the other as it is."""
    own = copy.copy(layer)
    own.keys, own.values = layer.keys[..., : layer.offset, :], layer.values[..., : layer.offset, :]
    return own


class _Trie(PromptTrie):
    """Finds a kept prompt that goes on where the asked one leaves in as many steps as that has tokens.

    mlx-lm looks through everything kept behind the common prefix for the shortest, which behind a system prompt is
    everything there is: 35 ms a request once 64 conversations of 500 tokens are kept.
    """

    def search(self, model: Any, tokens: list[int]) -> PromptTrieResult:
        node = self._trie.get(model, {})
        shorter = common = 0
        for token in tokens:
            if token not in node:
                break
            node = node[token]
            common += 1
            if _VALUE in node:
                shorter = common
        if shorter == len(tokens) > 0:
            return PromptTrieResult(model, tokens, None, None, 0)
        longer = [*tokens[:common], *_any_value_below(node)] if common else None
        return PromptTrieResult(model, None, tokens[:shorter] or None, longer, common)


def _any_value_below(node: dict[Any, Any]) -> list[int]:
    """The tokens from here to a value: the way that was last begun."""
    way: list[int] = []
    while _VALUE not in node:
        token = next(reversed(node))
        way.append(token)
        node = node[token]
    return way


def _lru(max_bytes: int) -> LRUPromptCache:
    cache = LRUPromptCache(max_size=_UNBOUNDED, max_bytes=max_bytes)
    cache._trie = _Trie()  # type: ignore[no-untyped-call]
    return cache


class PrefixCache:
    """Key-value caches by the tokens that filled them. For the MLX thread only."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` 0 turns it off."""
        self._max_bytes = max_bytes
        self._cache = _lru(max_bytes)

    @property
    def nbytes(self) -> int:
        return int(self._cache.nbytes)

    def fetch(self, tokens: list[int]) -> tuple[list[Any] | None, int]:
        """A copy of the longest kept prefix, and its length: always less than the prompt's, since at least one
        token must be fed to get the next."""
        if self._max_bytes <= 0:
            return None, 0
        try:
            return self._fetch(tokens)
        except Exception:
            # A trie left inconsistent must cost a prefill, not the request.
            logger.exception("the prefix cache failed and is emptied")
            self.clear()
            return None, 0

    def _fetch(self, tokens: list[int]) -> tuple[list[Any] | None, int]:
        cache, rest = self._cache.fetch_nearest_cache(_MODEL, tokens)
        if cache is not None and not rest:
            if can_trim_prompt_cache(cache):
                trim_prompt_cache(cache, 1)
                rest = tokens[-1:]
            else:
                cache, rest = self._cache.fetch_nearest_cache(_MODEL, tokens[:-1])
                rest = [*rest, tokens[-1]]
        cached = len(tokens) - len(rest)
        return (cache, cached) if cache is not None and cached > 0 else (None, 0)

    def insert(self, tokens: Sequence[int], cache: list[Any], *, kind: str = "assistant") -> None:
        """Keep a cache filled by exactly these tokens. `kind`: `system`, `user` or `assistant`; the last are the
        first to go."""
        if self._max_bytes <= 0 or not tokens or any(layer.empty() for layer in cache):
            return
        if sum(layer.nbytes for layer in cache) > self._max_bytes:
            return
        # The extracted rows are views on the batch until evaluated, and would keep all of it alive.
        mx.async_eval([layer.state for layer in cache])  # type: ignore[no-untyped-call]
        self._cache.insert_cache(_MODEL, list(tokens), _Kept(cache), cache_type=kind)

    def clear(self) -> None:
        self._cache = _lru(self._max_bytes)
