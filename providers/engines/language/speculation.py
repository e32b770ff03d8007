"""Several tokens from one forward pass while a single answer is generated: proposed cheaply, verified by the model.

A proposal is a guess at the next tokens, from the text so far (`PromptLookup`) or from a smaller model (`DraftModel`).
The model computes the logits behind every one of them in one pass, the row's own sampler draws a token from each, and
proposals count as long as they are what was drawn. So every token of the answer is drawn by the row's sampler from the
model's own logits, and the answer has the distribution that it has without: at temperature 0 it is the same text, with
a seed too, since a seeded sampler's draws are numbered by the tokens that stay. (Rejection sampling, as in Leviathan
et al. 2023, accepts more of a draft model's guesses at high temperatures, but not with a draw of the row's own.)

The row stays in mlx-lm's batch all the while; its cache is cut where a proposal was wrong. When company arrives, the
batch goes on as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import mlx.core as mx
from mlx_lm.models.cache import KVCache, make_prompt_cache, trim_prompt_cache

from providers.engines.language.kv_caches import QuantizedCache
from providers.engines.language.loading import LoadedModel, load_language_model, model_context
from providers.engines.prefix.common_prefix import common_prefix
from providers.engines.process.engine import EngineLoadError
from providers.engines.sampling.settings import draws_ahead
from providers.spec import ModelSpec

__all__ = ["DraftModel", "PromptLookup", "Proposer", "Speculation", "Tally", "make_speculation"]

FAR = 1 << 30
LONGEST, SHORTEST = 3, 2
"""Tokens in a row that must have been said before for what followed them to be proposed."""


class Proposer(Protocol):
    """Guesses how a text goes on. One text at a time; it is told apart from the last by its tokens."""

    def promises(self, tokens: list[int]) -> bool:
        """Whether a guess is likely worth waiting for the token that follows these and is being computed."""

    def propose(self, tokens: list[int], count: int) -> mx.array | None:
        """Up to `count` ids that may follow; None for no guess. Not evaluated, perhaps."""

    def settle(self, proposed: list[int], accepted: int) -> None:
        """How many of the last proposal turned out right."""

    def reset(self) -> None:
        """Forget everything: a step broke off."""


@attrs.define
class Tally:
    """Proposals since the engine started, in tokens."""

    proposed: int = 0
    accepted: int = 0

    def as_dict(self) -> dict[str, int]:
        return attrs.asdict(self)


class Speculation:
    """Takes a batch of one row several tokens further, where something is proposed. For the MLX thread only."""

    def __init__(self, model: Any, proposer: Proposer, *, count: int, ends: Sequence[int]) -> None:
        """`count`: the most tokens to propose in one step. `ends`: ids that end an answer."""
        self._model = model
        self._proposer = proposer
        self._count = count
        self._ends = frozenset(ends)
        self._pending: mx.array | None = None
        """The next token of the batch where it is known to be computed."""
        self.tally = Tally()

    def reset(self) -> None:
        """Forget the row and its text: a step broke off, or the batch is a new one."""
        self._pending = None
        self._proposer.reset()

    def step(self, generator: Any) -> list[Any] | None:
        """One step in place of the generator's own: what became of the row, as that tells it. None: it is not alone,
        has processors or a sampler that notes every step, is about to end, or nothing is proposed; then nothing has
        changed. `generator`: mlx-lm's BatchGenerator, whose stream is the current one."""
        batch = generator.decoding
        if len(batch) != 1 or generator.prefilling or generator.queued:
            return None
        if batch.logits_processors[0] or draws_ahead(batch.samplers[0]) is None:
            return None
        # The last token is left to the generator, which knows how answers end.
        count = min(self._count, batch.tokens_left(0) - 2)
        known: list[int] = batch.tokens[0]
        if count < 1 or not (self._pending is batch.next_tokens or self._proposer.promises(known)):
            return None
        token = int(batch.next_tokens.item())
        if token in self._ends:
            return None
        proposal = self._proposer.propose([*known, token], count)
        if proposal is None:
            self._pending = None
            return None
        return self._verify(batch, token, proposal)

    def _verify(self, batch: Any, token: int, proposal: mx.array) -> list[Any]:
        draws = draws_ahead(batch.samplers[0])
        assert draws is not None
        fed = mx.concatenate([mx.array([token], dtype=mx.uint32), proposal.astype(mx.uint32)])
        logits = self._model(fed[None], cache=batch.prompt_cache)[0]
        drawn = draws.draw(logits)
        mx.eval(drawn, proposal)
        proposed: list[int] = proposal.tolist()  # type: ignore[assignment]
        accepted = self._accepted(proposed, drawn.tolist())  # type: ignore[arg-type]
        trim_prompt_cache(batch.prompt_cache, len(proposed) - accepted)
        draws.keep(accepted + 1)
        self._proposer.settle(proposed, accepted)
        self.tally.proposed += len(proposed)
        self.tally.accepted += accepted
        self._pending = drawn[accepted : accepted + 1]
        responses: list[Any] = batch.advance([token, *proposed[:accepted]], self._pending)
        return responses

    def _accepted(self, proposed: list[int], drawn: list[int]) -> int:
        """How many of the proposals were drawn. An end token is none: the generator must see it come."""
        for place, (guess, token) in enumerate(zip(proposed, drawn, strict=False)):
            if guess != token or token in self._ends:
                return place
        return len(proposed)


class PromptLookup:
    """Proposes what followed the last time the text said the same: prompt look-up, or n-gram speculation.

    Where the text repeats itself right now, the repetition is continued as far as is asked. After a guess that went
    wrong, less is guessed the next time.
    """

    def __init__(self) -> None:
        self._seen: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}
        """By tokens in a row: the place behind the last time they were said and followed by another token."""
        self._reach = FAR

    def reset(self) -> None:
        self._seen.clear()
        self._followed.clear()
        self._reach = FAR

    def promises(self, tokens: list[int]) -> bool:
        self._index(tokens)
        return self._behind(tokens) is not None

    def propose(self, tokens: list[int], count: int) -> mx.array | None:
        self._index(tokens)
        place = self._behind(tokens)
        if place is None:
            return None
        text, length = [*tokens[place:]], min(count, self._reach)
        while len(text) < length:
            text += text
        return mx.array(text[:length], dtype=mx.uint32)

    def settle(self, proposed: list[int], accepted: int) -> None:
        self._reach = max(4, 2 * len(proposed)) if accepted == len(proposed) else accepted + 1

    def _behind(self, tokens: list[int]) -> int | None:
        for length in range(LONGEST, SHORTEST - 1, -1):
            place = self._followed.get(tuple(tokens[-length:]))
            if place is not None and len(tokens) >= length:
                return place
        return None

    def _index(self, tokens: list[int]) -> None:
        seen = self._seen
        if tokens[: len(seen)] != seen:
            self.reset()
        for end in range(max(1, len(seen)), len(tokens)):
            for length in range(SHORTEST, LONGEST + 1):
                if end >= length:
                    self._followed[tuple(tokens[end - length : end])] = end
        seen.extend(tokens[len(seen) :])


class DraftModel:
    """Proposes what a smaller model would say."""

    def __init__(self, model: Any, *, vocabulary: int, limit: int, prefill_step: int) -> None:
        """`vocabulary`: count of ids that the large model knows. `limit`: tokens that this one can read.
        `prefill_step`: tokens that it reads in one step.

        Raises:
            EngineLoadError: its cache cannot be cut.
        """
        self._model = model
        self._cache = make_prompt_cache(model)
        _check_caches(self._cache, "--draft-model")
        self._vocabulary = vocabulary
        self._limit = limit
        self._prefill_step = prefill_step
        self._read: list[int] = []
        """What its cache holds."""

    def reset(self) -> None:
        self._cache = make_prompt_cache(self._model)
        self._read.clear()

    def promises(self, tokens: list[int]) -> bool:
        return len(tokens) < self._limit

    def propose(self, tokens: list[int], count: int) -> mx.array | None:
        if len(tokens) + count > self._limit:
            return None
        self._cut(common_prefix(self._read, tokens[:-1]))
        new = tokens[len(self._read) :]
        if len(new) > self._prefill_step:
            # A chunk a step, so that the answer goes on meanwhile.
            self._feed(new[: self._prefill_step])
            mx.async_eval([layer.state for layer in self._cache])  # type: ignore[no-untyped-call]
            return None
        guesses = [self._feed(new)]
        for _ in range(count - 1):
            guesses.append(self._model_call(guesses[-1]))
        return mx.concatenate(guesses)

    def settle(self, proposed: list[int], accepted: int) -> None:
        self._read += proposed[:-1]
        self._cut(len(self._read) - max(0, len(proposed) - 1 - accepted))

    def _feed(self, tokens: list[int]) -> mx.array:
        self._read += tokens
        return self._model_call(mx.array(tokens, dtype=mx.uint32))

    def _model_call(self, tokens: mx.array) -> mx.array:
        """The likeliest token behind these, (1)."""
        logits = self._model(tokens[None], cache=self._cache)[:, -1, : self._vocabulary]
        return mx.argmax(logits, axis=-1)

    def _cut(self, length: int) -> None:
        trim_prompt_cache(self._cache, len(self._read) - length)
        del self._read[length:]


def make_speculation(
    loaded: LoadedModel, spec: ModelSpec, layers: list[Any], device: str, *, vocabulary: int, prefill_step: int
) -> Speculation | None:
    """What the spec asks for; None where it asks for none. `layers`: a cache of the model. `vocabulary`: count of ids
    that it knows. Loads the draft model.

    Raises:
        EngineLoadError: the model's cache cannot be cut, or the draft model cannot be used; the message names the
            option.
    """
    if spec.prompt_lookup is None and spec.draft_model is None:
        return None
    _check_caches(layers, "--prompt-lookup" if spec.draft_model is None else "--draft-model")
    ends = loaded.tokenizer.eos_token_ids
    if spec.draft_model is None:
        return Speculation(loaded.model, PromptLookup(), count=spec.prompt_lookup or 1, ends=ends)
    plain = attrs.evolve(spec, path=spec.draft_model, quantize=None, lora_paths=(), lora_scales=())
    try:
        draft = load_language_model(plain, device, lambda stage, fraction: None)
    except EngineLoadError as error:
        raise EngineLoadError(f"--draft-model: {error}") from error
    if draft.tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
        raise EngineLoadError(f"--draft-model: {spec.draft_model} has another vocabulary than {spec.path}")
    limit = model_context(draft.config) or spec.context_length
    proposer = DraftModel(draft.model, vocabulary=vocabulary, limit=limit, prefill_step=prefill_step)
    return Speculation(loaded.model, proposer, count=spec.num_draft_tokens, ends=ends)


def _check_caches(layers: list[Any], option: str) -> None:
    """
    Raises:
        EngineLoadError: what these caches hold cannot be taken back; the message names the option.
    """
    fixed = sorted({type(layer).__name__ for layer in layers if type(layer) not in {KVCache, QuantizedCache}})
    if fixed:
        raise EngineLoadError(
            f"{option}: this model's cache ({', '.join(fixed)}) cannot be cut back behind a proposal that was wrong"
        )
