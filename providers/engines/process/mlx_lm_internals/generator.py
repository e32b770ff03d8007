"""mlx-lm's generator, whose stages can be read and whose decoding batch can be replaced.

| name in mlx-lm | used for |
| --- | --- |
| `BatchGenerator._generation_batch` | the sequences that decode: replaced by `PlannedBatch`, read by speculation |
| `BatchGenerator._prompt_batch`, `._currently_processing` | the prompts in prefill and how far they are |
| `BatchGenerator._unprocessed_sequences` | the prompts that wait for their prefill, and their caches |
| `BatchGenerator._old_wired_limit` | Metal's wired limit before mlx-lm set it |
| `GenerationBatch._current_tokens` | the tokens that a step feeds, which grammars read |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from providers.engines.process.mlx_lm_internals.decoding import PlannedBatch

__all__ = ["Generator", "decoding_uids", "fed_tokens"]


class Generator(BatchGenerator):
    """mlx-lm's generator, whose stages can be read and whose decoding batch can be replaced."""

    _generation_batch: Any
    _prompt_batch: Any
    _currently_processing: list[Any]
    _unprocessed_sequences: Any
    _old_wired_limit: int | None

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        self._queued_bytes: dict[int, int] = {}
        """By uid: bytes of the caches of the prompts that wait for their prefill."""

    @property
    def prompt_cache_nbytes(self) -> int:
        """Bytes of the caches of all sequences, as mlx-lm counts them.

        Those of a waiting prompt do not change, and are added up once: each prompt that is inserted asks for this
        number, and mlx-lm asks every layer of all that wait before it.
        """
        known = self._queued_bytes
        self._queued_bytes = {
            uid: known[uid] if uid in known else _nbytes(caches)
            for uid, _, _, caches, *_ in self._unprocessed_sequences
        }
        batches = (self._prompt_batch, self._generation_batch)
        return sum(self._queued_bytes.values()) + sum(_nbytes(batch.prompt_cache) for batch in batches)

    def restore_wired_limit(self) -> None:
        """Set Metal's wired limit back to what it was before this generator, which then leaves it alone."""
        if self._old_wired_limit is not None:
            mx.set_wired_limit(self._old_wired_limit)
            self._old_wired_limit = None

    def decode_with(self, kind: type[PlannedBatch]) -> None:
        """Use an empty batch of this class for the sequences that decode."""
        self._generation_batch = kind.empty(self.model, self.sampler)

    @property
    def decoding(self) -> PlannedBatch:
        """The sequences that decode."""
        batch: PlannedBatch = self._generation_batch
        return batch

    @property
    def prefilling(self) -> int:
        """How many prompts are in prefill."""
        return len(self._prompt_batch)

    @property
    def queued(self) -> int:
        """How many prompts wait for their prefill."""
        return len(self._unprocessed_sequences)

    def prefilled(self) -> dict[int, int]:
        """By uid: tokens computed of each prompt in prefill."""
        stages = zip(self._prompt_batch.uids, self._currently_processing, strict=True)
        return {uid: done for uid, (_, done, _) in stages}

    def prompts_left(self) -> Iterator[list[list[int]]]:
        """What is left of each prompt in prefill, in segments."""
        return (segments for segments, *_ in self._currently_processing)

    def prompts_queued(self) -> Iterator[list[list[int]]]:
        """Each prompt that waits for its prefill, in segments."""
        return (segments for _, segments, *_ in self._unprocessed_sequences)


def _nbytes(caches: Iterable[Any]) -> int:
    return sum(int(cache.nbytes) for cache in caches)


def fed_tokens(generator: BatchGenerator) -> mx.array | None:
    """The tokens (sequences) that the current decode step feeds; None before the first step."""
    fed: mx.array | None = generator._generation_batch._current_tokens
    return fed


def decoding_uids(generator: BatchGenerator) -> list[int]:
    """The uid of each sequence that decodes, in the order of `fed_tokens`."""
    uids: list[int] = generator._generation_batch.uids
    return uids
