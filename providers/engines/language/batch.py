"""The batch of the language engine: mlx-lm's BatchGenerator beside the prefix cache. Only for the MLX thread."""

from __future__ import annotations

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.language.prefill.budget import MIN_TOKENS, PrefillPace
from providers.engines.language.sequences import ActiveSequence
from providers.engines.language.speculation.step import Speculation
from providers.engines.language.warm_up import build_kernels, touch
from providers.engines.prefix.cache import PrefixCache, worth_keeping
from providers.engines.process.mlx_lm_internals.prefill import OnePassGenerator, gives_last_logits
from providers.engines.sampling.batched_step import DecodingBatch
from providers.engines.structured.processor import BatchTokens

__all__ = ["Batch", "segments"]

logger = logging.getLogger(__name__)

PREFILL_CHUNKS = 10
"""The most prompts with a full chunk that one step computes; of shorter prompts, as many as take no longer. On a GPU,
39 prompts of 519 tokens: 64 took as long per prompt, and 128 a tenth longer."""
_NEARLY = 0.8
_UNINTERRUPTED = 5
"""As many times more, if no sequence waits and those that are left would be computed in small pieces."""


@attrs.frozen
class _Taken:
    """What the last step did, and the seconds it took before `Batch.launch`."""

    seconds: float
    sequences: int
    tokens: int


class Batch:
    """The sequences that are generated together, and the prompts kept for later ones."""

    def __init__(
        self,
        model: Any,
        prefixes: PrefixCache,
        *,
        ends: Sequence[int],
        slots: int,
        prefill_step: int,
        burst: float = 0.0,
        speculation: Speculation | None = None,
        sets_wired_limit: bool = True,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make an empty batch.

        Args:
            ends: ids that end an output.
            slots: the most sequences at the same time.
            prefill_step: the most tokens of a prompt that a step computes.
            burst: seconds, as in `prefill.budget.BURST`.
            speculation: proposes tokens while there is a single sequence.
            sets_wired_limit: whether mlx-lm may set Metal's wired limit, to what Metal recommends.
            ranks: those that compute the batch together.
        """
        self.generator: Any = OnePassGenerator(
            model,
            stop_tokens=[[token] for token in sorted(ends)],
            completion_batch_size=slots,
            prefill_batch_size=slots,
            prefill_step_size=prefill_step,
        )
        if not sets_wired_limit:
            self.generator.restore_wired_limit()
        self.generator.decode_with(DecodingBatch)
        self._ranks = ranks
        self._slots = slots
        self._in_one_pass = gives_last_logits(model)
        self._prefill_step = prefill_step
        self._burst = burst
        self._pace = PrefillPace(burst)
        self._taken: _Taken | None = None
        self._speculation = speculation
        self._prefixes = prefixes
        self._fed = BatchTokens(self.generator)
        self._salts: dict[int, str] = {}
        """Of the sequences' prompts, by uid."""
        self._speculated = ""
        """Salt of the text from which tokens were proposed last."""

    def warm_up(self, limit: int, vocabulary: int) -> None:
        """Generate a few tokens: a GPU then has built its kernels. `limit`: the most tokens of a sequence."""
        if mx.default_device() == mx.cpu:
            touch(self.generator)
        else:
            build_kernels(
                self.generator,
                slots=self._slots,
                limit=limit,
                vocabulary=vocabulary,
                in_one_pass=self._in_one_pass,
            )

    def insert(
        self,
        sequence: ActiveSequence,
        parts: list[list[int]],
        cache: list[Any] | None,
        *,
        in_one_pass: bool = False,
    ) -> None:
        """Put a sequence into the batch. Sets its `uid`.

        Args:
            parts: the part of its tokens to compute, cut where the cache is to be kept.
            cache: that of the other part.
            in_one_pass: the cache need not be kept before the last of its tokens.
        """
        job = sequence.request.job
        tokens = [*job.tokens, *sequence.tokens]
        computed = len(tokens) - sum(map(len, parts))
        (sequence.uid,) = self.generator.insert_segments(
            [parts],
            max_tokens=[job.max_tokens - len(sequence.tokens)],
            caches=[cache],
            all_tokens=[tokens[:computed]],
            samplers=[sequence.sampler],
            logits_processors=[sequence.processors],
        )
        if in_one_pass and self._in_one_pass:
            self.generator.in_one_pass(sequence.uid)
        self._salts[sequence.uid] = job.cache_salt
        sequence.follow(self._fed)

    def insert_again(self, sequence: ActiveSequence) -> None:
        """Put a sequence into the batch whose earlier batch failed, with all of its tokens. Sets its `uid`."""
        request = sequence.request
        tokens = [*request.job.tokens, *sequence.tokens]
        cache, cached = self._prefixes.fetch(tokens, request.job.cache_salt)
        if request.waiting and not request.prompt_ready and cached == len(tokens) - 1:
            request.prompt_ready, request.prefix = True, copy.deepcopy(cache)
        self.insert(sequence, segments(tokens, cached, request.job.boundaries), cache)

    def next(self) -> tuple[list[Any], list[Any]]:
        """Do one step. Returns mlx-lm's responses for prompts and for tokens: several of a sequence if proposed."""
        if self._speculation is not None:
            self._forget_speculation()
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
        chunks = [r.progress[0] - before.get(r.uid, 0) for r in prompted]
        chunks = [chunk for chunk, r in zip(chunks, prompted, strict=True) if chunk > 1 or not r.end_of_prompt]
        # In a batch, all chunks are padded to the longest.
        self._taken = _Taken(seconds, len(generated), len(chunks) * max(chunks, default=0))
        return prompted, generated

    def launch(self) -> None:
        """Start computing the next tokens. Call it after delivering those that `next` returned."""
        started = time.perf_counter()
        with mx.stream(self.generator.stream):
            self.generator.decoding.launch()
        taken, self._taken = self._taken, None
        if taken is not None:
            seconds = taken.seconds + time.perf_counter() - started
            self._pace.learn(seconds, sequences=taken.sequences, tokens=taken.tokens)

    @property
    def full_pass(self) -> int:
        """The most prompt tokens, padding included, of a step for which no sequence waits."""
        return (1 if self._burst else _UNINTERRUPTED) * PREFILL_CHUNKS * self._prefill_step

    def is_filled(self, lengths: Iterable[int]) -> bool:
        """Whether prompts of these lengths nearly fill a pass: waiting for more of them would gain nothing."""
        return _NEARLY * self.full_pass <= sum(lengths)

    def _prefill(self) -> tuple[int, int]:
        """How many prompts this step may compute, and how many tokens of each. All cost as much as the longest."""
        generator = self.generator
        under_way = generator.prefilling
        is_awaited = self._is_awaited()
        self._pace.note(awaited=is_awaited)
        if not under_way and not generator.queued:
            return 1, self._prefill_step
        if not is_awaited:
            fitting = self._fitting(under_way, self.full_pass, self._prefill_step)
            return _even(fitting, of=under_way + generator.queued), self._prefill_step
        full = PREFILL_CHUNKS * self._prefill_step
        budget = int(min(full, self._ranks.agree(self._pace.budget())))
        if not under_way and (whole := self._whole(budget)):
            return _even(whole, of=generator.queued) if budget == full else whole, self._prefill_step
        # A new prompt shares the step with a long one, instead of waiting for its end.
        sharing = min(under_way + generator.queued, PREFILL_CHUNKS, budget // MIN_TOKENS)
        chunk = min(self._prefill_step, max(MIN_TOKENS, budget // max(1, under_way, sharing)))
        return self._fitting(under_way, budget, chunk), chunk

    def _whole(self, budget: int) -> int:
        """How many of the prompts that wait are computed to their ends within the budget; 0 if that leaves most of it.

        A few whole prompts per step are computed in fewer and larger passes than pieces of many.
        """
        count, longest = 0, 0
        for segments in self.generator.prompts_queued():
            longest_then = max(longest, len(segments[0]))
            in_pieces = len(segments) > 1 or longest_then > self._prefill_step
            if in_pieces or longest_then * (count + 1) > budget:
                break
            count, longest = count + 1, longest_then
        return count if count == self.generator.queued or 2 * count * longest >= budget else 0

    def _fitting(self, under_way: int, budget: int, chunk: int) -> int:
        prompts, longest = under_way, 1
        for segments in self.generator.prompts_queued():
            longest = max(longest, min(chunk, len(segments[0])))
            if prompts and longest * (prompts + 1) > budget:
                break
            prompts += 1
        return max(1, prompts)

    def _is_awaited(self) -> bool:
        """Whether a sequence waits for its next token, or for its first after its prompt has been computed."""
        generator = self.generator
        return len(generator.decoding) > 0 or any(sum(map(len, left)) == 1 for left in generator.prompts_left())

    def remove(self, uids: list[int]) -> None:
        """Remove sequences before they finished, and keep what they have computed. Unknown ids are ignored."""
        with mx.stream(self.generator.stream):
            for uid, (cache, tokens) in self.generator.remove(uids, return_prompt_caches=True).items():
                self.keep(tokens, cache, self._salts.pop(uid))

    @property
    def nbytes(self) -> int:
        """Bytes of the keys, values and states of all sequences."""
        return int(self.generator.prompt_cache_nbytes)

    def computed(self, uids: list[int]) -> dict[int, tuple[list[Any], list[int]]]:
        """By uid: a copy of a sequence's cache, and the tokens that filled it."""
        with mx.stream(self.generator.stream):
            extracted: dict[int, tuple[list[Any], list[int]]] = self.generator.extract_cache(uids)
            return extracted

    def keeping(self, response: Any) -> Callable[[], None]:
        """What keeps the cache of a sequence that ended with this response."""
        salt = self._salts.pop(response.uid)
        return lambda: self.keep(response.all_tokens, response.prompt_cache, salt)

    def _forget_speculation(self) -> None:
        """Forget text of another salt before a single sequence is proposed tokens: a hit would show what it was."""
        salts = list(self._salts.values())
        if self._speculation is not None and len(salts) == 1 and salts[0] != self._speculated:
            self._speculation.reset()
            self._speculated = salts[0]

    def keep(
        self, tokens: list[int], cache: list[Any] | Callable[[], list[Any]], salt: str, kind: str = "assistant"
    ) -> None:
        """Offer a cache, or that which a function returns, to the prefix cache.

        `salt` and `kind`: as in `PrefixCache.insert`.
        """
        try:
            with mx.stream(self.generator.stream):
                layers = cache() if callable(cache) else cache
                self._prefixes.insert(tokens, layers, salt, kind=kind)
                self._prefixes.make_room(self.nbytes)
        except Exception as error:
            logger.exception("a prefix could not be kept; the prefix cache is emptied")
            self._ranks.check(error)
            self._prefixes.clear()


def _even(most: int, *, of: int) -> int:
    """The prompts of each pass, if all passes compute about as many: a small one takes the host as long."""
    passes = -(-of // most)
    return -(-of // passes)


def segments(tokens: list[int], computed: int, boundaries: Sequence[int]) -> list[list[int]]:
    """What is left of the tokens after the first `computed` ones, cut at the boundaries that are worth keeping."""
    cuts = [computed, *worth_keeping(boundaries, computed), len(tokens)]
    return [tokens[start:end] for start, end in itertools.pairwise(cuts)]
