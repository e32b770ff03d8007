"""mlx-lm's sequences that decode, with the choice of their next tokens left to a plan.

| name in mlx-lm | used for |
| --- | --- |
| `GenerationBatch._step` | replaced by one that samples all sequences together |
| `GenerationBatch._current_tokens` | the tokens that a step feeds, which grammars read |
| `GenerationBatch._next_tokens` | the tokens that a step computes |
| `GenerationBatch._next_logprobs` | set to nothing: mlx-lm would normalise the logits of every sequence |
| `GenerationBatch._token_context` | the tokens that processors called one by one read |
| `GenerationBatch._num_tokens` | how many tokens a sequence has, which speculation advances |
"""

from __future__ import annotations

import copy
import functools
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.generate import GenerationBatch
from mlx_lm.models.cache import CacheList, TokenBuffer

from providers.engines.process.mlx_lm_internals.cuts import (
    TokenOrder,
    can_cut,
    keep_ahead,
    keep_places,
    reorder,
)

__all__ = ["PlannedBatch", "StepPlan", "is_shared", "shared_tokens"]


def is_shared(model: Any) -> bool:
    """Whether several ranks share the model."""
    return getattr(model, "share_tokens", None) is not None


def shared_tokens(model: Any, tokens: mx.array) -> mx.array:
    """The tokens that rank 0 drew, where several ranks share the model; otherwise these."""
    return model.share_tokens(tokens) if is_shared(model) else tokens


class StepPlan(Protocol):
    """How the sequences of a `PlannedBatch` are taken a step further, as long as they stay the same."""

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step; otherwise MLX's lazy graph keeps growing."""
        ...

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        """The tokens (sequences) that follow the `fed` ones (sequences), from logits (sequences, vocabulary)."""
        ...

    def settle(self) -> None:
        """Fill in the tokens that the last call returned, if it left that for later.

        A step may be built on them before, but not computed.
        """
        ...

    def release(self) -> None:
        """Settle, and leave every sequence as if its own sampler and processors had taken it here."""
        ...


class PlannedBatch(GenerationBatch):
    """mlx-lm's sequences that decode, with the choice of their next tokens left to a `StepPlan`."""

    samplers: list[Any]
    logits_processors: list[Any]
    _current_tokens: Any
    _next_tokens: Any
    _num_tokens: list[int]
    _token_context: list[Any]
    _plan: StepPlan | None = None
    _orders: list[TokenOrder] | None = None
    """The order of each sequence's tokens in the caches; None as long as no sequence was cut."""
    _unlaunched: Sequence[mx.array] = ()
    """Arrays of the last step that wait for `launch`."""
    _leaving: list[Any] | None = None
    """Within `next`: the layers' caches before the sequences that end leave them, once one has ended."""
    _is_postponed = False
    """Whether the last step's tokens still have to be fed, by `launch` or what needs that before."""

    @abstractmethod
    def make_plan(self) -> StepPlan:
        """A plan for the sequences that there are now."""

    @property
    def next_tokens(self) -> mx.array:
        """The tokens (sequences) that the next step feeds; they are perhaps not computed yet."""
        self._feed_postponed()
        self._settle()
        following: mx.array = self._next_tokens
        return following

    def _settle(self) -> None:
        if self._plan is not None:
            self._plan.settle()

    @property
    def contexts(self) -> list[Any]:
        """mlx-lm's `TokenBuffer` of each sequence. The same list as long as the plan stays the same."""
        return self._token_context

    def renew_contexts(self, places: Iterable[int]) -> None:
        """Fill the `TokenBuffer` of these sequences anew: it was left behind while the plan did without it."""
        for place in places:
            self._token_context[place] = TokenBuffer(self.tokens[place])  # type: ignore[no-untyped-call]

    def tokens_left(self, place: int) -> int:
        """How many more tokens the sequence at this place may have."""
        return int(self.max_tokens[place]) - self._num_tokens[place]

    @property
    def can_cut(self) -> bool:
        """Whether `cut` knows the layout of all caches."""
        return all(map(can_cut, self.prompt_cache))

    def feed_ahead(self, proposed: mx.array) -> tuple[mx.array, mx.array]:
        """Feed every sequence its next token, and `proposed` (sequences, places) after it; `cut` must follow.

        Returns:
            Logits (sequences, places + 1, vocabulary), and the token after each next one (sequences), which the plan
            has chosen from the first of them.
        """
        self.launch()
        fed = self._current_tokens = self._next_tokens
        logits = self.model(mx.concatenate([fed[:, None], proposed], axis=1), cache=self.prompt_cache)
        if self._plan is None:
            self._plan = self.make_plan()
        following = self._plan(fed, logits[:, 0, :])
        self._next_logprobs = [None] * len(self.uids)
        mx.async_eval(following, *self._plan.state)  # type: ignore[no-untyped-call]
        self._plan.settle()
        for known, token in zip(self.tokens, fed.tolist(), strict=True):
            known.append(token)
        return logits, following

    def cut(self, accepted: Sequence[Sequence[int]], places: int, following: list[int]) -> list[Any]:
        """Keep these tokens of each sequence's proposal, of `places` tokens, and feed `following` next.

        Returns mlx-lm's response for each token that was fed and kept.
        """
        lengths = [len(tokens) - 1 for tokens in self.tokens]
        kept = [1 + len(tokens) for tokens in accepted]
        if len(set(kept)) > 1 and self._orders is None:
            self._orders = [TokenOrder() for _ in self.uids]
        if self._orders is not None:
            for order, length, count in zip(self._orders, lengths, kept, strict=True):
                order.rotate(length, count, max(kept) - count)
        keep_ahead(self.prompt_cache, lengths, kept, places + 1)
        responses: list[Any] = []
        for place, tokens in enumerate(accepted):
            news = [self.tokens[place][-1], *tokens]
            self.tokens[place] += tokens
            self._num_tokens[place] += len(news)
            responses += [GenerationBatch.Response(self.uids[place], each, None, None, None, None) for each in news]  # type: ignore[arg-type]
        self._next_tokens = mx.array(following, dtype=mx.uint32)
        return responses

    def next(self) -> list[Any]:
        """mlx-lm's responses; the `prompt_cache` of one that has ended is a function that returns it.

        Of 128 sequences that end together, taking the caches out delays the last tokens by 40 ms.
        """
        self._leaving = []
        try:
            return super().next()
        finally:
            self._leaving = None

    def extract_cache(self, idx: int) -> Any:
        self._feed_postponed()
        order = None if self._orders is None else self._orders[idx].places(len(self.tokens[idx]))
        if self._leaving is None:
            return _extracted(self.prompt_cache, idx, order)
        self._leaving = self._leaving or list(map(_held, self.prompt_cache))
        return functools.partial(_extracted, self._leaving, idx, order)

    def launch(self) -> None:
        """Start computing the next tokens, if the last step left that to the caller.

        A GPU starts in the step itself. MLX's CPU backend returns only when most of it is computed, and a model that
        computes single rows in numpy when all is: a caller that first delivers the tokens of the step delivers them a
        whole step earlier. Ranks that share the model start in the step as well: what rank 0 waits for, the others must
        have started, and between steps they wait for what rank 0 decides.
        """
        self._feed_postponed()
        unlaunched, self._unlaunched = self._unlaunched, ()
        if unlaunched and self.uids:
            mx.async_eval(*unlaunched)  # type: ignore[no-untyped-call]

    def _step(self) -> tuple[list[int], list[Any]]:
        self.launch()
        self._next_logprobs = [None] * len(self.uids)
        self._is_postponed = len(self.uids) == 1 and getattr(self.model, "computes_rows_in_call", False)
        fed = self._current_tokens = self._next_tokens
        if is_shared(self.model):
            # Tokens whose sum has waited (`_feed`): in one graph with the step, a rank of a pipeline could wait for
            # another's states before that sum.
            self._settle()
            mx.async_eval(fed)  # type: ignore[no-untyped-call]
        if self._is_postponed:
            self._settle()
        else:
            self._feed(fed)
        if mx.default_device() != mx.cpu or is_shared(self.model):
            self.launch()
        # While that is computed:
        mx.eval(fed)
        tokens: list[int] = fed.tolist()
        if not self._is_postponed:
            self._note(tokens)
        return tokens, self._next_logprobs

    def _note(self, fed: list[int]) -> None:
        for known, token in zip(self.tokens, fed, strict=True):
            known.append(token)

    def _feed(self, fed: mx.array) -> None:
        logits = self.model(fed[:, None], cache=self.prompt_cache)[:, -1, :]
        if self._plan is None:
            self._plan = self.make_plan()
        drawn = self._plan(fed, logits)
        self._next_tokens = shared_tokens(self.model, drawn)
        # Several ranks: on a CPU the plan may fill in its tokens later, so that their sum waits for the next step. On a
        # GPU it is the end of this step's graph: a graph of its own would cost the host another launch per token.
        started = drawn if mx.default_device() == mx.cpu else self._next_tokens
        self._unlaunched = [started, *self._plan.state]

    def _feed_postponed(self) -> None:
        if self._is_postponed:
            self._is_postponed = False
            self._feed(self._current_tokens)
            self._note(self._current_tokens.tolist())

    def extend(self, batch: GenerationBatch) -> None:
        self.release()
        super().extend(batch)  # type: ignore[no-untyped-call]
        if self._orders is not None:
            self._orders += [TokenOrder() for _ in batch.uids]

    def filter(self, keep: list[int]) -> None:
        if not keep:
            self._is_postponed = False
        self.release()
        layers, self.prompt_cache = self.prompt_cache, []
        super().filter(keep)
        if keep:
            keep_places(layers, keep)
            self.prompt_cache = layers
        if self._orders is not None:
            self._orders = [self._orders[place] for place in keep] or None

    def release(self) -> None:
        """Leave every sequence as if its own sampler and processors had taken it here."""
        self._feed_postponed()
        if self._plan is not None:
            self._plan.release()
            self._plan = None


def _held(layer: Any) -> Any:
    """A cache with the arrays of this one, which keeps them while sequences leave this one."""
    held: Any = copy.copy(layer)
    if isinstance(layer, CacheList):
        held.caches = [_held(part) for part in layer.caches]
    return held


def _extracted(layers: Sequence[Any], place: int, order: list[int] | None) -> list[Any]:
    """The caches of the sequence at this place, with its keys in the order of its tokens."""
    own = [layer.extract(place) for layer in layers]
    if order is not None:
        for layer in own:
            reorder(layer, order)
    return own
