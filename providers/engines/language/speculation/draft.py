"""Proposals from a smaller model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.models.cache import KVCache, make_prompt_cache, trim_prompt_cache

from providers.engines.language.kv_caches import QuantizedCache
from providers.engines.language.speculation.draft_rows import DraftRows
from providers.engines.language.speculation.proposer import Acceptance, Proposal, Text
from providers.engines.prefix.common_prefix import common_prefix
from providers.engines.process.engine import EngineLoadError
from providers.engines.vision.positions import PositionCache

__all__ = ["DraftModel", "check_caches"]


class DraftModel:
    """Proposes the tokens that a smaller model predicts."""

    costly = True

    def __init__(self, model: Any, *, vocabulary: int, limit: int, prefill_step: int) -> None:
        """Make a proposer of a model.

        Args:
            vocabulary: count of ids of the large model.
            limit: context of this model, in tokens.
            prefill_step: the most tokens that it reads in one pass.

        Raises:
            EngineLoadError: its cache cannot be cut back.
        """
        self._model = model
        self._cache = make_prompt_cache(model)
        check_caches(self._cache, "--draft-model")
        self._vocabulary = vocabulary
        self._limit = limit
        self._prefill_step = prefill_step
        self._read: list[int] = []
        """The tokens that its cache holds."""
        self._uid: int | None = None
        """The only text of the batch; None while there are several, which `_rows` holds."""
        self._rows = DraftRows(model, vocabulary=vocabulary, limit=limit, prefill_step=prefill_step)
        self._batched = not any(isinstance(layer, PositionCache) for layer in self._cache)
        self._acceptances: dict[int, Acceptance] = {}
        self._overall = Acceptance()
        self._lengths: dict[int, int] = {}

    def reset(self) -> None:
        self._cache = make_prompt_cache(self._model)
        self._read.clear()
        self._rows.reset()

    def follow(self, texts: Mapping[int, list[int]], *, single: bool) -> None:
        self._rows.keep_only(texts)
        before, (first, *_) = self._uid, texts
        self._uid = first if single and first not in self._rows else None
        if self._uid is None and self._batched and before is not None and before in texts and before not in self._rows:
            self._cut(common_prefix(self._read, texts[before]))
            if self._read:
                self._rows.join(before, self._cache, len(self._read))
            self._cache, self._read = make_prompt_cache(self._model), []
        expected = Acceptance(self._overall.share)
        self._acceptances = {uid: self._acceptances.get(uid) or attrs.evolve(expected) for uid in texts}
        self._lengths = {uid: len(tokens) for uid, tokens in texts.items()}

    def promises(self, uid: int) -> bool:
        return (self._batched or self._uid is not None) and self._lengths[uid] < self._limit

    def acceptance(self, uid: int) -> float:
        return self._acceptances[uid].share

    def propose(self, texts: Sequence[Text]) -> Proposal | None:
        if self._uid is None:
            return self._rows.propose(texts)
        (text,) = texts
        tokens = [*text.known, text.token]
        if len(tokens) + text.count > self._limit:
            return None
        self._cut(common_prefix(self._read, text.known))
        new = tokens[len(self._read) :]
        if len(new) > self._prefill_step:
            # One chunk per step, so that the large model generates meanwhile.
            self._feed(new[: self._prefill_step])
            mx.async_eval([layer.state for layer in self._cache])  # type: ignore[no-untyped-call]
            return None
        guesses = [self._feed(new)]
        for _ in range(text.count - 1):
            guesses.append(self._model_call(guesses[-1]))
        return Proposal(mx.concatenate(guesses)[None], [text.count])

    def settle(self, uid: int, proposed: list[int], accepted: int) -> None:
        for acceptance in (self._acceptances[uid], self._overall):
            acceptance.note(accepted, int(accepted < len(proposed)))
        if self._uid is None:
            self._rows.settle(uid, accepted)
            return
        self._read += proposed[:-1]
        self._cut(len(self._read) - max(0, len(proposed) - 1 - accepted))

    def _feed(self, tokens: list[int]) -> mx.array:
        self._read += tokens
        # This model reads no pictures: any token stands for theirs.
        return self._model_call(mx.array([max(0, token) for token in tokens], dtype=mx.uint32))

    def _model_call(self, tokens: mx.array) -> mx.array:
        """The likeliest token after these, (1)."""
        logits = self._model(tokens[None], cache=self._cache)[:, -1, : self._vocabulary]
        return mx.argmax(logits, axis=-1)

    def _cut(self, length: int) -> None:
        trim_prompt_cache(self._cache, len(self._read) - length)
        del self._read[length:]


def check_caches(layers: list[Any], option: str) -> None:
    """Check that these caches can be cut back.

    Raises:
        EngineLoadError: they cannot; the message names the option.
    """
    cut = {KVCache, PositionCache, QuantizedCache}
    fixed = sorted({type(layer).__name__ for layer in layers if type(layer) not in cut})
    if fixed:
        raise EngineLoadError(
            f"{option}: this model's cache ({', '.join(fixed)}) cannot be cut back after a wrong proposal"
        )
