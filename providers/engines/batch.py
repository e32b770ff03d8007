"""mlx-lm's BatchGenerator and the prefix cache beside it, as the language engine uses them. For the MLX thread only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from providers.engines.grammar import BatchTokens
from providers.engines.prefix_cache import PrefixCache
from providers.engines.rows import Row

__all__ = ["Batch"]

logger = logging.getLogger(__name__)

WARMUP_TOKENS = 2
PREFILL_CHUNKS = 8
"""How many prompts of a full chunk are computed in one step while answers wait for their next token; of shorter ones
as many as take no longer. Where no answer waits, four times that."""


class Batch:
    """The rows that are generated together, and the prompts kept for those to come."""

    def __init__(self, model: Any, prefixes: PrefixCache, *, ends: Sequence[int], rows: int, prefill_step: int) -> None:
        """`ends`: ids that end an answer. `prefill_step`: prompt tokens a step."""
        self.generator: Any = BatchGenerator(
            model,
            stop_tokens=[[token] for token in sorted(ends)],
            completion_batch_size=rows,
            prefill_batch_size=rows,
            prefill_step_size=prefill_step,
        )
        self._rows = rows
        self._prefixes = prefixes
        self._fed = BatchTokens(self.generator)

    def warm_up(self, limit: int) -> None:
        """Generate a few tokens, joined by a second row midway: every kernel of a batch runs once."""
        prompt = [0] * min(32, limit - 1)
        self.generator.insert([prompt], max_tokens=[WARMUP_TOKENS * 2])
        for _ in range(WARMUP_TOKENS):
            self.generator.next()
        if self._rows > 1:
            self.generator.insert([prompt[:5]], max_tokens=[WARMUP_TOKENS])
        while any(self.generator.next()):
            pass

    def insert(self, row: Row, segments: list[list[int]], cache: list[Any] | None) -> None:
        """Put an answer into the batch. `segments`: what is left of its prompt, cut where the cache is to be kept;
        `cache`: what the rest has filled. Sets the row's `uid`."""
        tokens = row.request.job.tokens
        computed = len(tokens) - sum(map(len, segments))
        (row.uid,) = self.generator.insert_segments(
            [segments],
            max_tokens=[row.request.job.max_tokens],
            caches=[cache],
            all_tokens=[tokens[:computed]],
            samplers=[row.sampler],
            logits_processors=[row.processors],
        )
        row.follow(self._fed)

    def next(self) -> tuple[list[Any], list[Any]]:
        """One step: what became of prompts, and the tokens generated."""
        self.generator.prefill_batch_size = self._prefill_rows()
        prompted, generated = self.generator.next()
        return prompted, generated

    def _prefill_rows(self) -> int:
        """How many prompts may be computed in this step: each costs as much as the longest chunk beside it."""
        generator = self.generator
        step: int = generator.prefill_step_size
        budget = PREFILL_CHUNKS * step * (1 if generator._generation_batch else 4)
        rows = len(generator._prompt_batch)
        longest = 1
        for _, segments, *_ in generator._unprocessed_sequences:
            longest = max(longest, min(step, len(segments[0])))
            if rows and longest * (rows + 1) > budget:
                break
            rows += 1
        return max(1, rows)

    def remove(self, uids: list[int]) -> None:
        """Take rows out before they finished, keeping what they had computed. Unknown ones are ignored."""
        with mx.stream(self.generator.stream):
            for cache, tokens in self.generator.remove(uids, return_prompt_caches=True).values():
                self.keep(tokens, cache)

    def computed(self, uids: list[int]) -> dict[int, tuple[list[Any], list[int]]]:
        """By uid: a copy of the cache, and the tokens that filled it."""
        with mx.stream(self.generator.stream):
            extracted: dict[int, tuple[list[Any], list[int]]] = self.generator.extract_cache(uids)
            return extracted

    def keep(self, tokens: list[int], cache: list[Any], kind: str = "assistant") -> None:
        """Offer a cache to the prefix cache; `kind` as there."""
        try:
            with mx.stream(self.generator.stream):
                self._prefixes.insert(tokens, cache, kind=kind)
        except Exception:
            logger.exception("a prefix could not be kept; the prefix cache is emptied")
            self._prefixes.clear()
