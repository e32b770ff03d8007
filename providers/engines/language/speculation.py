"""Several tokens per forward pass while there is a single sequence: proposed cheaply, verified by the model.

A proposal is a guess at the next tokens, from the text so far (`PromptLookup`) or from a smaller model (`DraftModel`).
The model computes the logits after each of them in one pass, and the sequence's own sampler draws a token from each.
Proposals are accepted as long as they equal the drawn tokens. So the sequence's sampler draws every token of the output
from the model's own logits, and the output has the same distribution as without speculation. At temperature 0 it is the
same text; with a seed too, since a seeded sampler numbers its draws by the tokens that stay. (Rejection sampling, as in
Leviathan et al. 2023, accepts more of a draft model's guesses at high temperatures, but does not use the sequence's own
draws.)

The sequence stays in mlx-lm's batch throughout. Its cache is cut where a proposal was wrong. When another sequence
arrives, the batch continues without speculation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import mlx.core as mx
from mlx_lm.models.cache import KVCache, make_prompt_cache, trim_prompt_cache

from providers.engines.language.kv_caches import QuantizedCache
from providers.engines.language.loading import LoadedModel, load_language_model
from providers.engines.prefix.common_prefix import common_prefix
from providers.engines.process.engine import EngineLoadError
from providers.engines.sampling.settings import draws_ahead
from providers.engines.vision.positions import PositionCache
from providers.spec import ModelSpec
from providers.weights.config import model_context

__all__ = ["DraftModel", "PromptLookup", "Proposer", "Speculation", "Tally", "make_speculation"]

FAR = 1 << 30
LONGEST, SHORTEST = 3, 2
"""Lengths of the run of tokens that must occur earlier for the tokens after it to be proposed."""


class Proposer(Protocol):
    """Guesses how a text continues. It works on one text at a time, and recognises a new text by its tokens."""

    def promises(self, tokens: list[int]) -> bool:
        """Whether a guess is probably worth waiting for the next token, which is being computed."""

    def propose(self, tokens: list[int], count: int) -> mx.array | None:
        """Up to `count` ids that may follow, perhaps not evaluated; None for no guess."""

    def settle(self, proposed: list[int], accepted: int) -> None:
        """Learn how many tokens of the last proposal were accepted."""

    def reset(self) -> None:
        """Forget everything, after a step that failed."""


@attrs.define
class Tally:
    """Proposals since the engine started, in tokens."""

    proposed: int = 0
    accepted: int = 0

    def as_dict(self) -> dict[str, int]:
        return attrs.asdict(self)


class Speculation:
    """Advances a batch of one sequence by several tokens, if there is a proposal. Only for the MLX thread."""

    def __init__(self, model: Any, proposer: Proposer, *, count: int, ends: Sequence[int]) -> None:
        """`count`: the most tokens per proposal. `ends`: ids that end an output."""
        self._model = model
        self._proposer = proposer
        self._count = count
        self._ends = frozenset(ends)
        self._pending: mx.array | None = None
        """The next token of the batch if it is known to be computed."""
        self.tally = Tally()

    def reset(self) -> None:
        """Forget the sequence and its text, after a step that failed or for a new batch."""
        self._pending = None
        self._proposer.reset()

    def step(self, generator: Any) -> list[Any] | None:
        """Do one step in place of the generator's own. Returns the sequence's responses in the generator's form.

        None, with nothing changed, if there are other sequences, if this one has processors or a sampler that records
        every step, if it is about to end, or if there is no proposal. `generator`: its stream must be the current one.
        """
        batch = generator.decoding
        if len(batch) != 1 or generator.prefilling or generator.queued:
            return None
        if batch.logits_processors[0] or draws_ahead(batch.samplers[0]) is None:
            return None
        # The last token is left to the generator, which ends outputs.
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
        """How many of the proposals were drawn. An end token does not count: the generator must process it."""
        for place, (guess, token) in enumerate(zip(proposed, drawn, strict=False)):
            if guess != token or token in self._ends:
                return place
        return len(proposed)


class PromptLookup:
    """Proposes the tokens that followed the last occurrence of the present ones: prompt look-up, n-gram speculation.

    If the text is repeating itself, the proposal continues the repetition up to the requested length. After a wrong
    guess, the next one is shorter.
    """

    def __init__(self) -> None:
        self._seen: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}
        """By run of tokens: the place after its last occurrence that another token followed."""
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
        # A picture's ids are in a prompt only: no model generates them.
        guess = [*itertools.takewhile(lambda token: token >= 0, text[:length])]
        return mx.array(guess, dtype=mx.uint32) if guess else None

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
    """Proposes the tokens that a smaller model predicts."""

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
        _check_caches(self._cache, "--draft-model")
        self._vocabulary = vocabulary
        self._limit = limit
        self._prefill_step = prefill_step
        self._read: list[int] = []
        """The tokens that its cache holds."""

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
            # One chunk per step, so that the large model generates meanwhile.
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
        # This model reads no pictures: any token stands for theirs.
        return self._model_call(mx.array([max(0, token) for token in tokens], dtype=mx.uint32))

    def _model_call(self, tokens: mx.array) -> mx.array:
        """The likeliest token after these, (1)."""
        logits = self._model(tokens[None], cache=self._cache)[:, -1, : self._vocabulary]
        return mx.argmax(logits, axis=-1)

    def _cut(self, length: int) -> None:
        trim_prompt_cache(self._cache, len(self._read) - length)
        del self._read[length:]


def make_speculation(
    loaded: LoadedModel, spec: ModelSpec, layers: list[Any], device: str, *, vocabulary: int, prefill_step: int
) -> Speculation | None:
    """The speculation that the spec asks for, with the draft model loaded; None if it asks for none.

    Args:
        layers: a cache of the model.
        vocabulary: count of ids of the model.

    Raises:
        EngineLoadError: the model's cache cannot be cut back, or the draft model cannot be used; the message names the
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
