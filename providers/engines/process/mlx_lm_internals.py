"""The module that touches names private to mlx-lm: underscore names, replaced functions, layouts of its tuples.

`mlx_lm_prefill` does so for prompts, `mlx_lm_cuts` where speculation cuts sequences, and no other module.

mlx-lm may rename them in any version; `test_mlx_lm_internals.py` then fails and names what is gone. The module lies in
`process` because `language` uses it, and also `sampling`, `structured`, `prefix` and `cpu`, which may import no engine.

| name in mlx-lm | used for |
| --- | --- |
| `BatchGenerator._generation_batch` | the sequences that decode: replaced by `PlannedBatch`, read by speculation |
| `BatchGenerator._prompt_batch`, `._currently_processing` | the prompts in prefill and how far they are |
| `BatchGenerator._unprocessed_sequences` | the prompts that wait for their prefill |
| `BatchGenerator._old_wired_limit` | Metal's wired limit before mlx-lm set it |
| `GenerationBatch._step` | replaced by one that samples all sequences together |
| `GenerationBatch._current_tokens` | the tokens that a step feeds, which grammars read |
| `GenerationBatch._next_tokens` | the tokens that a step computes |
| `GenerationBatch._next_logprobs` | set to nothing: mlx-lm would normalise the logits of every sequence |
| `GenerationBatch._token_context` | the tokens that processors called one by one read |
| `GenerationBatch._num_tokens` | how many tokens a sequence has, which speculation advances |
| `BatchKVCache._idx`, `._right_padding` | where a cache holds the tokens of its only sequence |
| `LRUPromptCache._trie`, `PromptTrie._trie`, `"__value__"` | a faster search, and a look without a copy |
| `BatchKVCache.make_mask`, `.left_padding` | a decode step knows which mask hides only padding |
| `BatchKVCache._idx`, `.keys`, `.values`, `.offset` | a decode step appends its token |
| `TransformerBlock.__call__` of `mlx_lm.models.*` | a decode step of fewer operations |
| `scaled_dot_product_attention`, `swiglu` in `mlx_lm.models.*` | replaced by faster ones |
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.models.cache import BatchKVCache, KVCache, LRUPromptCache, PromptTrie, TokenBuffer

from providers.engines.process.mlx_lm_cuts import TokenOrder, can_cut, keep_ahead, reorder

__all__ = [
    "TRIE_VALUE",
    "Generator",
    "PlannedBatch",
    "PromptCache",
    "StepPlan",
    "Trie",
    "append_token",
    "change_class",
    "decoding_uids",
    "fed_tokens",
    "replace_function",
    "tokens_of_one",
    "wrap_masks",
]

TRIE_VALUE = "__value__"
"""Key of a trie's node under which mlx-lm keeps the node's own value, beside its children."""


class Generator(BatchGenerator):
    """mlx-lm's generator, whose stages can be read and whose decoding batch can be replaced."""

    _generation_batch: Any
    _prompt_batch: Any
    _currently_processing: list[Any]
    _unprocessed_sequences: Any
    _old_wired_limit: int | None

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


def fed_tokens(generator: BatchGenerator) -> mx.array | None:
    """The tokens (sequences) that the current decode step feeds; None before the first step."""
    fed: mx.array | None = generator._generation_batch._current_tokens
    return fed


def decoding_uids(generator: BatchGenerator) -> list[int]:
    """The uid of each sequence that decodes, in the order of `fed_tokens`."""
    uids: list[int] = generator._generation_batch.uids
    return uids


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

    def extract_cache(self, idx: int) -> list[Any]:
        self._feed_postponed()
        layers: list[Any] = super().extract_cache(idx)
        order = None if self._orders is None else self._orders[idx].places(len(self.tokens[idx]))
        if order is not None:
            for layer in layers:
                reorder(layer, order)
        return layers

    def launch(self) -> None:
        """Start computing the next tokens, if the last step left that to the caller.

        A GPU starts in the step itself. MLX's CPU backend returns only when most of it is computed, and a model that
        computes single rows in numpy when all is: a caller that first delivers the tokens of the step delivers them a
        whole step earlier.
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
        if self._is_postponed:
            self._settle()
        else:
            self._feed(fed)
        if mx.default_device() != mx.cpu:
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
        self._next_tokens = self._plan(fed, logits)
        self._unlaunched = [self._next_tokens, *self._plan.state]

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
        super().filter(keep)
        if self._orders is not None:
            self._orders = [self._orders[place] for place in keep] or None

    def release(self) -> None:
        """Leave every sequence as if its own sampler and processors had taken it here."""
        self._feed_postponed()
        if self._plan is not None:
            self._plan.release()
            self._plan = None


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


def replace_function(model: Any, name: str, plain: Callable[..., Any], fast: Callable[..., Any]) -> None:
    """Replace mlx-lm's function of this name in the modules that define the model's layers."""
    names = {type(module).__module__ for module in model.modules()}
    for module in [sys.modules[name] for name in names if name.startswith("mlx_lm.models.")]:
        if getattr(module, name, None) is plain:
            setattr(module, name, fast)


_make_mask = BatchKVCache.make_mask


def wrap_masks(note: Callable[[mx.array, mx.array], None]) -> None:
    """Call `note` with every mask of a batched cache that hides only padding from one query per sequence.

    Its arguments are the mask and the positions (sequences) at which the sequences begin. The last caller is notified.
    Prompts without padding before them get `causal` instead of an array, for which CUDA has a faster kernel.
    """

    def make_mask(cache: Any, N: int, return_array: bool = False, **kwargs: Any) -> Any:  # noqa: N803 - mlx-lm's name
        plain = not any(kwargs.values())
        if plain and N > 1 and not return_array and not any(cache.left_padding.tolist()):
            return "causal"
        mask = _make_mask(cache, N, return_array, **kwargs)
        if plain and N == 1:
            note(mask, cache.left_padding)
        return mask

    BatchKVCache.make_mask = make_mask  # type: ignore[assignment, method-assign]


def append_token(cache: Any, keys: mx.array, values: mx.array, offset: mx.array) -> tuple[mx.array, mx.array]:
    """Append one token of every sequence to a batch of keys. Returns all keys and values.

    `offset`: the positions after this token. It saves an addition per layer, because all layers have the same.
    """
    place = cache._idx
    if cache.keys is None or place == cache.keys.shape[2]:
        fetched: tuple[mx.array, mx.array] = cache.update_and_fetch(keys, values)
        return fetched
    cache.keys[..., place : place + 1, :] = keys
    cache.values[..., place : place + 1, :] = values
    cache._idx, cache.offset = place + 1, offset
    return cache.keys[..., : place + 1, :], cache.values[..., : place + 1, :]


def tokens_of_one(cache: Any) -> range | None:
    """Where a cache of whole keys and values holds the tokens of its only sequence; None: it is of another kind."""
    if type(cache) is KVCache:
        return range(cache.offset)
    if type(cache) is BatchKVCache and len(cache.left_padding) == 1 and cache._right_padding is None:
        padding: Any = cache.left_padding.item()
        return range(padding, cache._idx)
    return None


def change_class(layer: Any, kind: type[Any]) -> None:
    """Make a layer of a model an object of a subclass of its class."""
    layer.__class__ = kind
