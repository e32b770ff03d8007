"""Kept prompts by their tokens: mlx-lm's trie, with a search of one step per token of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlx_lm.models.cache import PromptTrieResult

from providers.engines.process.mlx_lm_internals.prompt_trie import TRIE_VALUE, Trie

__all__ = ["PrefixTrie"]


class PrefixTrie(Trie):
    """Finds a kept prompt that shares a prefix with the requested one, in one step per token of the latter.

    mlx-lm searches all that is kept behind the common prefix for the shortest prompt. Behind a system prompt, that is
    everything: 35 ms per request once 64 conversations of 500 tokens are kept.
    """

    def __init__(self, on_evicted: Callable[[str, list[int], list[Any]], None], least: int = 1) -> None:
        """Make an empty one.

        Args:
            on_evicted: called for prompts that LRUPromptCache evicts, not for those that a longer prompt replaces.
            least: tokens of the shortest prefix of a longer prompt that is found.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._on_evicted = on_evicted
        self._least = max(1, least)

    def search(self, model: Any, tokens: list[int]) -> PromptTrieResult:
        node = self.root(model)
        shorter = common = 0
        for token in tokens:
            if token not in node:
                break
            node = node[token]
            common += 1
            if TRIE_VALUE in node:
                shorter = common
        if shorter == len(tokens) > 0:
            return PromptTrieResult(model, tokens, None, None, 0)
        longer = [*tokens[:common], *_any_value_below(node)] if common >= self._least else None
        return PromptTrieResult(model, None, tokens[:shorter] or None, longer, common)

    def pop(self, model: Any, tokens: list[int]) -> Any:
        entry = super().pop(model, tokens)
        self._on_evicted(model, tokens, entry.prompt_cache)
        return entry


def _any_value_below(node: dict[Any, Any]) -> list[int]:
    """The tokens from this node to a value, along the branches that were added last."""
    way: list[int] = []
    while TRIE_VALUE not in node:
        token = next(reversed(node))
        way.append(token)
        node = node[token]
    return way
