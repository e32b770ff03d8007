"""mlx-lm's generator with a prefill that ends in one pass: a prompt's last tokens give the first one of the answer.

mlx-lm computes all but the last token of a prompt, and then the last one as a decode step. Each of the two passes reads
all weights, and what the prompt keeps in its cache is copied three times: into a batch, for more room, and out of it.
For the short prompts of later turns that was most of the time to the first token.

Private names of mlx-lm, beside those of `generator` and `decoding`; `test_prefill.py` fails if one is gone:

| name in mlx-lm | used for |
| --- | --- |
| `BatchGenerator._next`, `._make_batch` | replaced by a step that begins answers with the last chunk of their prompts |
| `BatchGenerator._counters` | counted as in mlx-lm: tokens of prompts but their last ones |
| `BatchKVCache.state` | its last part is the count of tokens held: the rest of the arrays is room |
| `GenerationBatch._next_tokens` | the first tokens of answers |
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx_lm.generate import GenerationBatch, PromptProcessingBatch
from mlx_lm.models.cache import BatchKVCache, KVCache

from providers.engines.process.mlx_lm_internals.decoding import is_shared, shared_tokens
from providers.engines.process.mlx_lm_internals.generator import Generator

__all__ = ["OnePassGenerator", "PromptBatch", "gives_last_logits", "last_logits", "merge_layers"]

_STEPS_PER_CLEARING = 512
"""As in mlx-lm: decode steps after which MLX's cache of buffers is emptied."""


class OnePassGenerator(Generator):
    """A generator whose prompts end with the pass that chooses the first token, if `in_one_pass` was called for them.

    Other prompts end as in mlx-lm, with a pass of the last token.
    """

    model: Any
    sampler: Any
    completion_batch_size: int
    prefill_batch_size: int
    prefill_step_size: int
    _counters: Any

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        self._prompt_batch = PromptBatch.empty(model, self.sampler, prefill_step_size=self.prefill_step_size)

    def in_one_pass(self, uid: int) -> None:
        """Compute the last token of this prompt, which waits for its prefill, together with those before it."""
        for queued, segments, *_ in self._unprocessed_sequences:
            if queued == uid and len(segments) > 1:
                (last,) = segments.pop()
                segments[-1] = [*segments[-1], last]

    def _next(self) -> tuple[list[Any], list[Any]]:
        generated: list[Any] = []
        decoding = self._generation_batch
        if len(decoding) > 0:
            generated = decoding.next()
            self._count(generation_tokens=len(generated), generation_steps=1)
            if self._counters.generation_steps % _STEPS_PER_CLEARING == 0:
                mx.clear_cache()
        free = self.completion_batch_size - len(decoding)
        if free <= 0:
            return [], generated
        count = min(self.prefill_batch_size - len(self._prompt_batch), free, len(self._unprocessed_sequences))
        if count > 0:
            self._prompt_batch.extend(self._make_batch(count))
        return [*self._begin_answers(), *self._compute_chunks()], generated

    def _count(self, **more: int) -> None:
        for name, number in more.items():
            setattr(self._counters, name, getattr(self._counters, name) + number)

    def _make_batch(self, n: int) -> PromptBatch:
        taken = [self._unprocessed_sequences.popleft() for _ in range(n)]
        uids, parts, limits, caches, tokens, samplers, processors, stops = map(list, zip(*taken, strict=True))
        self._currently_processing += [[segments, 0, sum(map(len, segments))] for segments in parts]
        batch = PromptBatch(
            model=self.model,
            uids=uids,
            caches=[],
            tokens=tokens,
            prefill_step_size=self.prefill_step_size,
            samplers=samplers,
            fallback_sampler=self.sampler,
            logits_processors=processors,
            stop_sequences=stops,
            max_tokens=limits,
        )
        batch.prompt_cache = merge_layers(caches, room=max(sum(map(len, segments)) for segments in parts))
        return batch

    def _begin_answers(self) -> list[Any]:
        """Compute the prompts whose last segment fits into this step, and put their answers into the batch."""
        stages = self._currently_processing
        ending = [
            place
            for place, (segments, *_) in enumerate(stages)
            if len(segments) == 1 and len(segments[0]) <= self.prefill_step_size
        ]
        if not ending:
            return []
        tokens = [stages[place][0][0] for place in ending]
        totals = [stages[place][2] for place in ending]
        self._currently_processing = [stage for place, stage in enumerate(stages) if place not in ending]
        self._count(prompt_tokens=sum(len(fed) - 1 for fed in tokens))
        begun = self._prompt_batch.split(ending).generate(tokens)
        responses = [
            PromptProcessingBatch.Response(uid, (total, total), True, True)
            for uid, total in zip(begun.uids, totals, strict=True)
        ]
        self._generation_batch.extend(begun)
        return responses

    def _compute_chunks(self) -> list[Any]:
        """Compute the next chunk of every prompt in prefill."""
        chunks, responses = [], []
        for uid, stage in zip(self._prompt_batch.uids, self._currently_processing, strict=True):
            segments, done, total = stage
            chunk, rest = segments[0][: self.prefill_step_size], segments[0][self.prefill_step_size :]
            stage[0] = segments = [rest, *segments[1:]] if rest else segments[1:]
            stage[1] = done = done + len(chunk)
            chunks.append(chunk)
            responses.append(PromptProcessingBatch.Response(uid, (done, total), not rest, False))
        self._count(prompt_tokens=sum(map(len, chunks)))
        self._prompt_batch.prompt(chunks)
        return responses


class PromptBatch(PromptProcessingBatch):
    """mlx-lm's prompts in prefill. Their last pass also chooses the first tokens of their answers."""

    model: Any
    uids: list[int]
    tokens: list[list[int]]
    prompt_cache: list[Any]
    samplers: list[Any]
    fallback_sampler: Any
    logits_processors: list[Any]
    stop_sequences: list[Any]
    max_tokens: list[int]

    def split(self, indices: Sequence[int]) -> PromptBatch:
        """mlx-lm's; all prompts together leave without a copy of their caches."""
        if len(indices) < len(self.uids):
            part: PromptBatch = super().split(list(indices))
            return part
        whole = copy.copy(self)
        self.uids, self.tokens, self.prompt_cache, self.samplers = [], [], [], []
        self.logits_processors, self.stop_sequences, self.max_tokens = [], [], []
        return whole

    def generate(self, tokens: Sequence[Sequence[int]]) -> GenerationBatch:
        """The answers to prompts of which these tokens are left, at least one of each. Their first tokens are chosen.

        They are also computed, if a prompt has more than one token left: a step takes as long as its prompts.
        """
        for known, fed in zip(self.tokens, tokens, strict=True):
            known += fed[:-1]
        lengths = [len(fed) for fed in tokens]
        logits = self._last_logits(tokens, lengths)
        # mlx-lm's batch calls its model once as it is made, for the last token.
        batch: Any = GenerationBatch(
            lambda *_, **__: logits,
            self.uids,
            mx.array([fed[-1] for fed in tokens]),
            self.prompt_cache,
            self.tokens,
            self.samplers,
            self.fallback_sampler,
            self.logits_processors,
            self.stop_sequences,
            self.max_tokens,
        )
        batch.model = self.model
        batch._next_tokens = shared_tokens(self.model, batch._next_tokens)
        # Ranks take their sums in the same order if they compute one graph after the other.
        if max(lengths) > 1 or is_shared(self.model):
            mx.eval(batch._next_tokens, [layer.state for layer in self.prompt_cache])
            if not mx.cuda.is_available():
                # On CUDA that takes 15 to 50 ms, and the engine's bound on freed arrays does without it.
                mx.clear_cache()
        return batch  # type: ignore[no-any-return]

    def _last_logits(self, tokens: Sequence[Sequence[int]], lengths: list[int]) -> mx.array:
        longest = max(lengths)
        padded = mx.array([[*fed, *[0] * (longest - len(fed))] for fed in tokens])
        uneven = min(lengths) < longest
        if uneven:
            padding = [longest - length for length in lengths]
            for layer in self.prompt_cache:
                layer.prepare(lengths=lengths, right_padding=padding)
        logits = last_logits(self.model, padded, self.prompt_cache, lengths)
        if uneven:
            for layer in self.prompt_cache:
                layer.finalize()
        return logits


def merge_layers(caches: Sequence[Sequence[Any]], *, room: int) -> list[Any]:
    """The caches (sequences, layers) of sequences as those of a batch, one per layer, with `room` for more tokens.

    Room added later is another copy of all keys and values. One sequence that needs little is copied only then, as its
    next tokens are computed.
    """
    return [_merge(list(rows), room) for rows in zip(*caches, strict=True)]


def _merge(rows: list[Any], room: int) -> Any:
    if any(type(row) is not KVCache for row in rows) or all(row.empty() for row in rows):
        return rows[0].merge(rows)
    longest = max(row.offset for row in rows)
    held = -(-(longest + room) // BatchKVCache.step) * BatchKVCache.step
    padding = [longest - row.offset for row in rows]
    keys, values = (_joined([getattr(row, name) for row in rows], rows, padding, held) for name in ("keys", "values"))
    merged: Any = BatchKVCache(padding)
    merged.state = (keys, values, merged.offset + longest, merged.left_padding, longest)
    return merged


def _joined(parts: list[mx.array | None], rows: list[Any], padding: list[int], held: int) -> mx.array:
    """Keys or values of several sequences in one array of `held` places, each after its padding."""
    some = next(part for part in parts if part is not None)
    _, heads, _, width = some.shape
    if len(parts) == 1 and held - rows[0].offset <= BatchKVCache.step:
        return some[..., : rows[0].offset, :]
    if len(parts) == 1:
        rest = mx.zeros((1, heads, held - rows[0].offset, width), some.dtype)
        return mx.concatenate([some[..., : rows[0].offset, :], rest], axis=2)
    joined = mx.zeros((len(parts), heads, held, width), some.dtype)
    for place, (part, row, before) in enumerate(zip(parts, rows, padding, strict=True)):
        if part is not None:
            joined[place : place + 1, :, before : before + row.offset] = part[..., : row.offset, :]
    return joined


def gives_last_logits(model: Any) -> bool:
    """Whether `last_logits` computes no other logits: mlx-lm's models are layers in `model`, and a head."""
    return isinstance(model, Module) and isinstance(model.get("model"), Module)


def last_logits(model: Any, tokens: mx.array, cache: list[Any], lengths: Sequence[int]) -> mx.array:
    """Logits (sequences, 1, vocabulary) after the last of tokens (sequences, tokens), whose first `lengths` count.

    The head of a model computes the logits of every position that it gets. It gets the last ones only.
    """
    ends = [length - 1 for length in lengths]
    if tokens.shape[1] == 1 or not gives_last_logits(model):
        return _at(model(tokens, cache=cache), ends)
    layers = model["model"]
    model["model"] = _LastStates(layers, ends)
    try:
        logits: mx.array = model(tokens, cache=cache)
    finally:
        model["model"] = layers
    return logits


class _LastStates:
    """A model's layers, of whose states the head gets those at one place per sequence."""

    def __init__(self, layers: Any, places: list[int]) -> None:
        self._layers = layers
        self.places = places

    def __call__(self, *args: Any, **options: Any) -> mx.array:
        return _at(self._layers(*args, **options), self.places)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layers, name)


def _at(states: mx.array, places: list[int]) -> mx.array:
    """(sequences, tokens, …) → (sequences, 1, …): of each sequence, that at its place."""
    if len(set(places)) == 1:
        return states[:, places[0] : places[0] + 1]
    return mx.take_along_axis(states, mx.array(places)[:, None, None], axis=1)
