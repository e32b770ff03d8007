"""mlx-lm's cache of prompts over a trie whose nodes can be walked.

| name in mlx-lm | used for |
| --- | --- |
| `LRUPromptCache._trie`, `PromptTrie._trie`, `"__value__"` | a faster search, and a look without a copy |
"""

from __future__ import annotations

from typing import Any

from mlx_lm.models.cache import LRUPromptCache, PromptTrie

__all__ = ["TRIE_VALUE", "PromptCache", "Trie"]

TRIE_VALUE = "__value__"
"""Key of a trie's node under which mlx-lm keeps the node's own value, beside its children."""


class Trie(PromptTrie):
    """mlx-lm's trie of kept prompts, whose nodes can be walked."""

    def root(self, model: Any) -> dict[Any, Any]:
        """The first node of a model's prompts; empty where there are none. Children by token, and `TRIE_VALUE`."""
        node: dict[Any, Any] = self._trie.get(model, {})
        return node


class PromptCache(LRUPromptCache):
    """mlx-lm's cache of prompts over a trie of the caller's."""

    def __init__(self, trie: Trie, *, max_size: int, max_bytes: int) -> None:
        super().__init__(max_size=max_size, max_bytes=max_bytes)
        self._trie = trie

    def look(self, model: Any, tokens: list[int]) -> list[Any]:
        """The layers kept for exactly these tokens, themselves and not a copy.

        Raises:
            KeyError: there are none.
        """
        layers: list[Any] = self._trie.get(model, tokens).prompt_cache
        return layers
