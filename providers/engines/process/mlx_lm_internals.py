"""The one module that touches names private to mlx-lm: underscore names, replaced functions, layouts of its tuples.

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
| `LRUPromptCache._trie`, `PromptTrie._trie`, `"__value__"` | a faster search, and a look without a copy |
| `scaled_dot_product_attention`, `swiglu` in `mlx_lm.models.*` | replaced by faster ones on the CPU |
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.models.cache import LRUPromptCache, PromptTrie, TokenBuffer

__all__ = [
    "TRIE_VALUE",
    "Generator",
    "PlannedBatch",
    "PromptCache",
    "StepPlan",
    "Trie",
    "decoding_uids",
    "fed_tokens",
    "replace_function",
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

    def release(self) -> None:
        """Leave every sequence as if its own sampler and processors had taken it here."""
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

    @abstractmethod
    def make_plan(self) -> StepPlan:
        """A plan for the sequences that there are now."""

    @property
    def next_tokens(self) -> mx.array:
        """The tokens (sequences) that the next step feeds; they are perhaps not computed yet."""
        following: mx.array = self._next_tokens
        return following

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

    def advance(self, tokens: Sequence[int], following: mx.array) -> list[Any]:
        """Give the only sequence these tokens, whose keys and values its cache has, and the one to feed next, (1).

        Returns mlx-lm's response for each token.
        """
        self._next_tokens = following
        self.tokens[0] += tokens
        self._num_tokens[0] += len(tokens)
        response: Any = GenerationBatch.Response
        return [response(self.uids[0], each, None, None, None, None) for each in tokens]

    def _step(self) -> tuple[list[int], list[Any]]:
        fed = self._current_tokens = self._next_tokens
        logits = self.model(fed[:, None], cache=self.prompt_cache)[:, -1, :]
        if self._plan is None:
            self._plan = self.make_plan()
        self._next_tokens = self._plan(fed, logits)
        self._next_logprobs = [None] * len(self.uids)
        mx.async_eval(self._next_tokens, *self._plan.state)  # type: ignore[no-untyped-call]
        # While that is computed:
        mx.eval(fed)
        tokens: list[int] = fed.tolist()
        for known, token in zip(self.tokens, tokens, strict=True):
            known.append(token)
        return tokens, self._next_logprobs

    def extend(self, batch: GenerationBatch) -> None:
        self._release()
        super().extend(batch)  # type: ignore[no-untyped-call]

    def filter(self, keep: list[int]) -> None:
        self._release()
        super().filter(keep)

    def _release(self) -> None:
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
