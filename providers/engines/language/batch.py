"""mlx-lm's BatchGenerator and the prefix cache beside it, as the language engine uses them. For the MLX thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from providers.engines.language.prefill_budget import MIN_TOKENS, PrefillPace
from providers.engines.language.sequences import Row
from providers.engines.language.speculation import Speculation
from providers.engines.prefix.cache import PrefixCache
from providers.engines.process.mlx_lm_internals import Generator
from providers.engines.sampling.batched_step import DecodingBatch
from providers.engines.structured.processor import BatchTokens

__all__ = ["Batch"]

logger = logging.getLogger(__name__)

WARMUP_TOKENS = 2
PREFILL_CHUNKS = 8
"""How many prompts of a full chunk are computed in one step at most while answers wait for their next token; of shorter
ones as many as take no longer. Where no answer waits, four times that."""


class Batch:
    """The rows that are generated together, and the prompts kept for those to come."""

    def __init__(
        self,
        model: Any,
        prefixes: PrefixCache,
        *,
        ends: Sequence[int],
        rows: int,
        prefill_step: int,
        speculation: Speculation | None = None,
    ) -> None:
        """`ends`: ids that end an answer. `prefill_step`: tokens of a prompt that a step computes at most.
        `speculation`: foresees tokens of a single row."""
        self.generator: Any = Generator(
            model,
            stop_tokens=[[token] for token in sorted(ends)],
            completion_batch_size=rows,
            prefill_batch_size=rows,
            prefill_step_size=prefill_step,
        )
        self.generator.decode_with(DecodingBatch)
        self._rows = rows
        self._prefill_step = prefill_step
        self._pace = PrefillPace()
        self._speculation = speculation
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
        if self._rows > 1 and mx.default_device() == mx.gpu:
            # Prompts of several lengths in one batch have kernels of their own, which take CUDA 6 s to build.
            rows = min(8, self._rows)
            self.generator.insert([prompt[number:] for number in range(rows)], max_tokens=[WARMUP_TOKENS] * rows)
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
        """One step: what became of prompts, and the tokens generated, of a row several where they were foreseen."""
        if self._speculation is not None:
            with mx.stream(self.generator.stream):
                foreseen = self._speculation.step(self.generator)
            if foreseen is not None:
                return [], foreseen
        generator = self.generator
        generator.prefill_batch_size, generator.prefill_step_size = self._prefill()
        before = generator.prefilled()
        started = time.perf_counter()
        prompted, generated = generator.next()
        seconds = time.perf_counter() - started
        chunks = [r.progress[0] - before.get(r.uid, 0) for r in prompted if not r.end_of_prompt]
        # In a batch, all are as long as the longest.
        self._pace.learn(seconds, rows=len(generated), tokens=len(chunks) * max(chunks, default=0))
        return prompted, generated

    def _prefill(self) -> tuple[int, int]:
        """How many prompts may be computed in this step, and how many tokens of each: each costs as much as the
        longest chunk beside it."""
        generator = self.generator
        under_way = generator.prefilling
        if not self._is_awaited():
            budget, chunk = 4 * PREFILL_CHUNKS * self._prefill_step, self._prefill_step
            return self._fitting(under_way, budget, chunk), chunk
        budget = int(min(PREFILL_CHUNKS * self._prefill_step, self._pace.budget()))
        # One that comes shares the step with one that is long, instead of waiting for its end.
        sharing = min(under_way + generator.queued, PREFILL_CHUNKS, budget // MIN_TOKENS)
        chunk = min(self._prefill_step, max(MIN_TOKENS, budget // max(1, under_way, sharing)))
        return self._fitting(under_way, budget, chunk), chunk

    def _fitting(self, under_way: int, budget: int, chunk: int) -> int:
        rows, longest = under_way, 1
        for segments in self.generator.prompts_queued():
            longest = max(longest, min(chunk, len(segments[0])))
            if rows and longest * (rows + 1) > budget:
                break
            rows += 1
        return max(1, rows)

    def _is_awaited(self) -> bool:
        """Whether an answer waits for its next token, or for its first with its prompt computed."""
        generator = self.generator
        return len(generator.decoding) > 0 or any(sum(map(len, left)) == 1 for left in generator.prompts_left())

    def remove(self, uids: list[int]) -> None:
        """Take rows out before they finished, keeping what they had computed. Unknown ones are ignored."""
        with mx.stream(self.generator.stream):
            for cache, tokens in self.generator.remove(uids, return_prompt_caches=True).values():
                self.keep(tokens, cache)

    @property
    def nbytes(self) -> int:
        """Of the keys, values and states that the rows hold."""
        return int(self.generator.prompt_cache_nbytes)

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
                self._prefixes.make_room(self.nbytes)
        except Exception:
            logger.exception("a prefix could not be kept; the prefix cache is emptied")
            self._prefixes.clear()
