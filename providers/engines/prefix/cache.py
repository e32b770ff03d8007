"""Computed prompts, kept for the next turn: mlx-lm's LRUPromptCache, bounded in bytes."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import (
    CacheList,
    KVCache,
    can_trim_prompt_cache,
    trim_prompt_cache,
)

from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.prefix.files import PrefixFiles
from providers.engines.prefix.fingerprint import model_identity
from providers.engines.prefix.trie import PrefixTrie
from providers.engines.process.base import free_memory
from providers.engines.process.mlx_lm_internals.prompt_trie import PromptCache
from providers.memory.part import split_of
from providers.spec import ModelSpec

__all__ = ["MIN_SAVED", "PrefixCache", "can_always_trim", "make_prefix_cache", "worth_keeping"]

logger = logging.getLogger(__name__)
_UNBOUNDED = 1 << 30
_UNBOUNDED_BYTES = 1 << 62
_SPARE = 64
"""Prompts that longer ones have replaced and that may still be listed as unwritten: an engine that is never idle does
not come to them."""
MIN_SAVED = 16
"""Tokens. A cut costs a prefill chunk, and a copy is as large as all tokens before it."""
MIN_FOUND = {"cuda": 64}
"""Tokens of the shortest prefix that a prompt begins with, by device; elsewhere one. Finding it and copying it into the
batch take the host about 1.5 ms with 28 layers, in which an H200 computes 64 tokens of a 7B model."""


def worth_keeping(boundaries: Sequence[int], cached: int) -> list[int]:
    """The boundaries at which a copy saves at least `MIN_SAVED` tokens over the one before. `cached` has one."""
    kept = [cached]
    for boundary in boundaries:
        if boundary - kept[-1] >= MIN_SAVED:
            kept.append(boundary)
    return kept[1:]


def can_always_trim(layers: Sequence[Any]) -> bool:
    """Whether caches of these kinds can be cut back to any prefix, whatever their length. `layers`: empty ones.

    A rotating cache can be cut back only until it drops its first tokens.
    """
    return all(
        can_always_trim(layer.caches) if isinstance(layer, CacheList) else _can_always_trim(layer) for layer in layers
    )


def _can_always_trim(layer: Any) -> bool:
    return bool(layer.is_trimmable()) and not hasattr(layer, "max_size")


class _Kept(list[Any]):
    """The layers of a kept cache, whose deep copies share buffers where possible.

    LRUPromptCache returns deep copies. Copies of the buffers cost more than a short prefix saves (28 layers of 512
    tokens: 5 ms on an H100).
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [_shared(layer) if type(layer) is KVCache else copy.deepcopy(layer, memo) for layer in self]


def _shared(layer: Any) -> Any:
    """Another cache over the same buffers: slices are new arrays, and a write to one does not change the other."""
    own = KVCache.__new__(KVCache)  # copy.copy takes six times as long, and a prompt may find dozens of layers
    own.__dict__.update(layer.__dict__)
    own.keys, own.values = layer.keys[..., : layer.offset, :], layer.values[..., : layer.offset, :]
    return own


def make_prefix_cache(spec: ModelSpec, folder: Path, precision: str, device: str, ranks: Ranks = ALONE) -> PrefixCache:
    """The cache that the spec asks for, with its files. Call it when everything else of the model is in memory.

    `folder`: that of the model. `precision`: that of its weights, in words.
    """
    files = None
    if spec.prefix_cache_dir is not None:
        part = f"{split_of(spec).way} {ranks.world.rank()}/{ranks.size}" if ranks.size > 1 else ""
        identity = model_identity(folder, spec, precision, part)
        files = PrefixFiles(Path(spec.prefix_cache_dir), identity, spec.prefix_cache_disk_bytes, ranks)
    total = spec.max_memory or mx.get_active_memory() + free_memory()
    least = MIN_FOUND.get(device, 1)
    return PrefixCache(ranks.agree(_bound(spec)), total=total, files=files, least=least, ranks=ranks)


def _bound(spec: ModelSpec) -> int:
    """Bytes: the spec's bound, or an eighth of what the weights leave of the memory that this model may use.

    Of memory that replicas share, each takes its part.
    """
    if spec.prefix_cache_bytes is not None:
        return max(0, spec.prefix_cache_bytes)
    if spec.max_memory is not None:
        return max(0, spec.max_memory - mx.get_active_memory()) // 8
    return free_memory() // 8 // spec.replicas_per_device


class PrefixCache:
    """Key-value caches by the tokens that filled them. Only for the MLX thread."""

    def __init__(
        self,
        max_bytes: int,
        *,
        total: int | None = None,
        files: PrefixFiles | None = None,
        least: int = 1,
        ranks: Ranks = ALONE,
    ) -> None:
        """`max_bytes`: bound on what is kept; 0 turns the cache off.

        `total`: bytes that MLX may hold in all; if weights and batch leave less of them than `max_bytes`, less is kept.
        `files`: the files for prompts that are evicted, or kept when the engine ends; a quarter of `max_bytes` is for
        prompts that wait to be written. `least`: tokens of the shortest prefix that `fetch` finds. `ranks`: those that
        keep the same prompts, each its part of them.
        """
        self.max_bytes = max_bytes
        self._total = total
        self._ranks = ranks
        self._files = files
        self._least = least
        self.min_saved = max(MIN_SAVED, least)
        """Tokens by which a prefix must be longer to be worth waiting for, or keeping."""
        self._unwritten: dict[tuple[str, tuple[int, ...]], None] = {}
        """Salts and prompts without a file, in their order of arrival."""
        self._evicted: deque[tuple[str, list[int], list[Any]]] = deque()
        """Evicted prompts among them, which are kept only until their file is written."""
        self.changes = 0
        """How often prompts were kept or forgotten: `kept` changes only with it."""
        self._cache = self._empty()

    def _empty(self) -> PromptCache:
        share = self.max_bytes // 4 if self._files is not None else 0
        self._trie = PrefixTrie(self._note_evicted, self._least)
        bound = self.max_bytes - share if self._ranks.leads else _UNBOUNDED_BYTES
        return PromptCache(self._trie, max_size=_UNBOUNDED, max_bytes=bound)

    @property
    def nbytes(self) -> int:
        return int(self._cache.nbytes) + self._evicted_bytes

    @property
    def _evicted_bytes(self) -> int:
        return sum(_nbytes(cache) for _, _, cache in self._evicted)

    def fetch(self, tokens: list[int], salt: str = "") -> tuple[list[Any] | None, int]:
        """A copy of the longest kept prefix of this salt, and its length.

        It is always shorter than the prompt, since at least one token must be fed to get the next.
        """
        if self.max_bytes <= 0:
            return None, 0
        try:
            cache, cached = self._fetch(tokens, salt)
            if self._files is not None and self._read(tokens, cached, salt):
                cache, cached = self._fetch(tokens, salt)
            return cache, cached
        except Exception as error:
            # An inconsistent trie must cost a prefill, not the request.
            self._ranks.check(error)
            logger.exception("the prefix cache failed and is emptied")
            self.clear()
            return None, 0

    def kept(self, tokens: list[int], salt: str = "", *, trims: bool) -> int:
        """Tokens of the longest prefix that is kept in memory. `trims`: a longer prompt may be cut to its beginning."""
        if self.max_bytes <= 0:
            return 0
        found = self._trie.search(salt, tokens)
        length = max(len(found.exact or found.shorter or ()), found.common_prefix if trims and found.longer else 0)
        return length if length >= self._least else 0

    def _fetch(self, tokens: list[int], salt: str) -> tuple[list[Any] | None, int]:
        # mlx-lm keeps the prompts of several models apart; here each salt is one.
        cache, rest = self._cache.fetch_nearest_cache(salt, tokens)
        cached = len(tokens) - len(rest)
        if cache is not None and not rest:
            cached -= 1
            if can_trim_prompt_cache(cache):
                trim_prompt_cache(cache, 1)
            else:
                cache, rest = self._cache.fetch_nearest_cache(salt, tokens[:-1])
                cached -= len(rest)
        return (cache, cached) if cache is not None and cached >= self._least else (None, 0)

    def _read(self, tokens: list[int], cached: int, salt: str) -> bool:
        """Load a longer prefix of this prompt from a file. Returns whether there was one."""
        assert self._files is not None
        found = self._files.fetch(tokens, cached + self.min_saved, salt)
        if found is None or self._ranks.agree(_nbytes(found[1]) > self._cache.max_bytes):
            return False
        self._cache.insert_cache(salt, found[0], _Kept(found[1]), cache_type="user")
        self._keep_alike()
        self.changes += 1
        return True

    def insert(self, tokens: Sequence[int], cache: list[Any], salt: str = "", *, kind: str = "assistant") -> None:
        """Keep a cache filled by exactly these tokens, for prompts of this salt.

        `kind`: `system`, `user` or `assistant`; the last kind is evicted first. Prompts with pictures, whose ids are
        negative, get no file: these ids have a meaning in this process only.
        """
        if self.max_bytes <= 0 or not tokens or any(layer.empty() for layer in cache):
            return
        if self._ranks.agree(_nbytes(cache) > self._cache.max_bytes):
            return
        # The extracted caches are views on the batch until evaluated, and would keep all of it alive.
        mx.async_eval([layer.state for layer in cache])  # type: ignore[no-untyped-call]
        if self._files is not None and min(tokens) >= 0:
            self._unwritten.pop((salt, tuple(tokens)), None)
            self._unwritten[salt, tuple(tokens)] = None
        self._cache.insert_cache(salt, list(tokens), _Kept(cache), cache_type=kind)
        self._keep_alike()
        self.changes += 1
        if len(self._unwritten) > 2 * len(self._cache) + _SPARE:
            self._unwritten = {key: None for key in self._unwritten if self._keeps(*key)}

    def make_room(self, batch_bytes: int) -> None:
        """Evict what does not fit beside the weights and the batch, whose size may double before the next call."""
        if self._total is None or not self.nbytes:
            return
        self.shrink(self._total - (mx.get_active_memory() - self.nbytes) - batch_bytes)

    def shrink(self, room: int) -> None:
        """Evict until no more than `room` bytes are kept. Of several ranks, the room of rank 0 counts."""
        if self.nbytes > room and self._ranks.leads:
            self._cache.trim_to(n_bytes=room)
            self.changes += 1
            while self._evicted and self.nbytes > room:
                self._evicted.popleft()
        self._keep_alike()

    def _keep_alike(self) -> None:
        """Keep as many prompts as rank 0, the only one that bounds bytes: parts of a prompt may differ in size."""
        count, evicted = self._ranks.agree([len(self._cache), len(self._evicted)])
        if count < len(self._cache):
            self._cache.trim_to(n_sequences=count)
        while len(self._evicted) > evicted:
            self._evicted.popleft()

    def write_one(self) -> bool:
        """Write one prompt that has no file yet, the latest first. Returns whether there was one."""
        if self._files is None:
            return False
        if self._evicted:
            salt, evicted, cache = self._evicted.pop()
            self._files.save(evicted, cache, salt)
            return True
        while self._unwritten:
            (salt, tokens), _ = self._unwritten.popitem()
            with contextlib.suppress(KeyError):
                # KeyError: a longer prompt has replaced it.
                self._files.save(tokens, self._cache.look(salt, list(tokens)), salt)
                return True
        return False

    def _keeps(self, salt: str, tokens: tuple[int, ...]) -> bool:
        with contextlib.suppress(KeyError):
            self._cache.look(salt, list(tokens))
            return True
        return False

    def clear(self) -> None:
        self._evicted.clear()
        self._unwritten.clear()
        self._cache = self._empty()
        self.changes += 1

    def _note_evicted(self, salt: str, tokens: list[int], cache: list[Any]) -> None:
        if (salt, tuple(tokens)) not in self._unwritten:
            return
        del self._unwritten[salt, tuple(tokens)]
        self._evicted.append((salt, tokens, cache))
        while self._ranks.leads and self._evicted_bytes > self.max_bytes // 4:
            self._evicted.popleft()


def _nbytes(cache: Sequence[Any]) -> int:
    return sum(layer.nbytes for layer in cache)
