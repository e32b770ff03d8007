"""The language-model engine: continuous batching on mlx-lm's BatchGenerator."""

from __future__ import annotations

import copy
import functools
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import msgspec

from providers.chat.types import GenerationRequest, TokenLogprob
from providers.engine_host.frames import Answer, Memory, Question
from providers.engines.language.batch import Batch, segments
from providers.engines.language.intake import Intake
from providers.engines.language.job import LanguageJob
from providers.engines.language.kv_caches import make_layers
from providers.engines.language.loading import (
    LoadedModel,
    load_language_model,
    reported,
    usable_vocabulary,
    vocabulary_kept,
)
from providers.engines.language.prefill.arrivals import Arrivals
from providers.engines.language.prefill.budget import BURST, GATHER_GAP, PREFILL_STEP
from providers.engines.language.prefill.filling import Fillings
from providers.engines.language.prompt_memory import prompt_memory
from providers.engines.language.scored_requests import ScoredRequests
from providers.engines.language.sequences import ActiveSequence, Request, nearest_prompt, note_computed
from providers.engines.language.speculation.making import make_speculation
from providers.engines.prefix.cache import can_always_trim, make_prefix_cache
from providers.engines.process.base import BaseEngine, Loaded, as_service_error, failure_of, late, timed_out
from providers.engines.process.engine import Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.sampling.settings import make_processors
from providers.spec import ModelSpec
from providers.weights.config import model_context

__all__ = ["LanguageEngine"]


class LanguageEngine(BaseEngine[LanguageJob]):
    """Implements `Engine` for `--model-type lm`."""

    REQUESTS = (GenerationRequest,)
    NOUN = "a language model"
    DOES = "generates text"
    FREED_BYTES = 2 << 30

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._ranks = prepared.ranks
        self._requests: dict[str, Request] = {}
        self._sequences: dict[int, ActiveSequence] = {}
        self._waiting: deque[LanguageJob] = deque()
        self._unkept: deque[Callable[[], None]] = deque()
        """Calls that keep the caches of ended sequences: one runs per step, and all before a request is looked up."""

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        loaded = self._load_model(spec, device, progress)
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._defaults: Mapping[str, Any] = loaded.generation_defaults
        self._slots, self._sets_wired_limit = spec.max_concurrency, spec.wired_limit is None
        self._prefill_step = spec.prefill_step_size or PREFILL_STEP[device]
        self._gather_gap, self._burst = GATHER_GAP[device], BURST[device]
        self._limit = min(spec.context_length, model_context(loaded.config) or spec.context_length)
        layers = make_layers(loaded.model, spec, str(loaded.config.get("model_type")))
        self._cut_anywhere = can_always_trim(layers)
        with vocabulary_kept(loaded.tokenizer):
            vocabulary = self._vocabulary = usable_vocabulary(loaded)
            self._intake = Intake(loaded, spec, limit=self._limit, vocabulary=vocabulary, trimmable=self._cut_anywhere)
        self._text = self._intake.text
        self._scored = ScoredRequests(self._requests, loaded.model, self._intake, self._begin, vocabulary)
        self._speculation = make_speculation(
            loaded, spec, layers, device, vocabulary=vocabulary, prefill_step=self._prefill_step, ranks=self._ranks
        )
        self._prefixes = make_prefix_cache(spec, loaded.folder, loaded.dtype, device, self._ranks)
        self._batch = self._new_batch()
        self._memory = prompt_memory(loaded.model, spec, self._prefixes, self._ranks)
        self._fillings = Fillings(
            self._model, self._prefixes, lambda: self._batch, self._make_room, self._cut_anywhere, self._ranks
        )
        return reported(loaded, spec, limit=self._limit, vocabulary=vocabulary, prefix_cache=self._prefixes.max_bytes)

    def _load_model(self, spec: ModelSpec, device: str, progress: Progress) -> LoadedModel:
        return load_language_model(spec, device, progress, self._ranks)

    def _warm_up(self) -> None:
        self._batch.warm_up(self._limit, self._vocabulary)

    def _new_batch(self) -> Batch:
        return Batch(
            self._model,
            self._prefixes,
            ends=self._tokenizer.eos_token_ids,
            slots=self._slots,
            prefill_step=self._prefill_step,
            burst=self._burst,
            speculation=self._speculation,
            sets_wired_limit=self._sets_wired_limit,
            ranks=self._ranks,
        )

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def _job(self, request: GenerationRequest, *, may_wait: bool = True) -> LanguageJob:
        job = self._intake.job(request, may_wait=may_wait)
        self._memory.refuse_impossible(len(job.tokens))
        return job

    def _quick_job(self, request: GenerationRequest) -> LanguageJob:
        return self._job(request, may_wait=False)

    def answer(self, question: Question) -> Answer:
        return self._intake.answer(question)

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def gathers(self) -> float:
        if len(self._waiting) >= self._slots or self._batch.is_filled(len(job.tokens) for job in self._waiting):
            return 0.0
        return self._gather_gap

    @property
    def busy(self) -> bool:
        return bool(self._requests or self._waiting or self._unkept or self._fillings.busy)

    def unpacked(self, packed: dict[str, Any]) -> LanguageJob:
        return LanguageJob.unpacked(packed)

    def submit(self, job: LanguageJob) -> None:
        (self._fillings.submit if job.prefill_only else self._waiting.append)(job)

    def cancel(self, request_id: str) -> None:
        request = self._requests.get(request_id)
        if request is not None:
            self._batch.remove(self._forget(request))
        else:
            self._waiting = deque(job for job in self._waiting if job.id != request_id)
            self._fillings.cancel(request_id)

    def step(self, out: Outbox) -> None:
        self._expire(out)
        self._admit(out)
        self._score(out)
        if not self._sequences:
            if not (self._unkept or self._requests):
                self._fillings.step(out)
            self._keep_next()
            return
        prompted, generated = self._batch.next()
        left: list[int] = []
        now = time.monotonic()
        with self._ranks.together():
            for response in generated:
                left += self._advance(response, now, out)
        # A GPU already computes the next step: from here on, nothing is on the decode path.
        out.flush()
        if left:
            self._batch.remove(left)
        self._batch.launch()
        note_computed(self._sequences, prompted)
        self._keep_prompts([r.uid for r in prompted if r.end_of_segment and not r.end_of_prompt])
        self._keep_next()

    def recover(self, out: Outbox, error: BaseException) -> None:
        """Fail the newest request of the batch, and compute the others again from their tokens, where they stopped."""
        failure = failure_of(error)
        if self._requests:
            blamed = list(self._requests.values())[-1]
            out.fail(blamed.job.id, failure)
            self._forget(blamed)
        elif self._waiting:
            # One of them is to blame: left there, it would break every later step.
            for job in self._waiting:
                out.fail(job.id, failure)
            self._waiting.clear()
        else:
            self._fillings.fail_all(lambda: failure, out)
        self._sequences.clear()
        self._unkept.clear()
        if self._speculation is not None:
            self._speculation.reset()
        self._batch = self._new_batch()
        mx.clear_cache()
        for request in list(self._requests.values()):
            self._guard(request.job, out, functools.partial(self._rebuild, request))

    def use_idle_time(self) -> bool:
        """Write a kept prompt to its file, if one waits for it. Returns whether there may be more to do."""
        with mx.stream(self._batch.generator.stream):
            if self._prefixes.write_one():
                return True
        mx.clear_cache()
        return False

    def memory(self) -> Memory:
        speculated = {} if self._speculation is None else self._speculation.tally.as_dict()
        return msgspec.structs.replace(super().memory(), prefix_cache=self._prefixes.nbytes, speculated=speculated)

    def _expire(self, out: Outbox) -> None:
        self._fillings.expire(out)
        expired = late([request.job for request in self._requests.values()], self._ranks)
        for job in expired:
            out.fail(job.id, timed_out())
        uids = [uid for job in expired for uid in self._forget(self._requests[job.id])]
        if uids:
            self._batch.remove(uids)
        for job in late(self._waiting, self._ranks):
            self._waiting.remove(job)
            out.fail(job.id, timed_out())

    # ── into the batch ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def _has_room(self) -> bool:
        return len(self._sequences) + len(self._scored.requests) < self._slots

    def _admit(self, out: Outbox) -> None:
        """Fill the batch: first with further outputs of the requests in it, then with the oldest waiting requests."""
        for request in [request for request in self._requests.values() if request.waiting]:
            self._guard(request.job, out, functools.partial(self._branch, request))
        arrivals = Arrivals(
            self._waiting, self._sequences, self._prefixes, slots=self._slots, cut_anywhere=self._cut_anywhere
        )
        with self._memory.read_once():
            while self._waiting and self._has_room:
                while self._unkept:
                    self._keep_next()
                job = arrivals.take()
                if job is None:
                    break
                self._guard(job, out, functools.partial(self._start, job, out))
        out.flush()

    def _guard(self, job: LanguageJob, out: Outbox, insert: Callable[[], None]) -> None:
        try:
            insert()
        except BaseException as error:  # a panic in native code is not an Exception
            out.fail(job.id, job.context.run(as_service_error, error, job.id))
            self._ranks.check(error)
            request = self._requests.get(job.id)
            if request is not None:
                self._batch.remove(self._forget(request))

    def _start(self, job: LanguageJob, out: Outbox) -> None:
        self._make_room(job)
        if job.prompt_logprobs is not None:
            self._scored.start(job, job.prompt_logprobs)
        elif job.max_tokens == 0:
            out.event(job.id, job.accepted())
            out.events(job.id, Request(job=job, cached_tokens=0).unanswered())
        else:
            cache, cached = self._fetch(job)
            request = Request(job=job, cached_tokens=cached, waiting=list(range(1, job.n)))
            self._requests[job.id] = request
            self._begin(request, cache, out)

    def _make_room(self, job: LanguageJob) -> None:
        lengths = [sequence.length for sequence in self._sequences.values()]
        lengths += [request.length for request in self._scored.requests]
        self._memory.make_room(len(job.tokens), lengths, self._batch.nbytes)

    def _begin(
        self, request: Request, cache: list[Any] | None, out: Outbox, logprobs: list[TokenLogprob] | None = None
    ) -> None:
        """Start the first output of a request. `cache`: that of the first `cached_tokens` of its prompt."""
        job, cached = request.job, request.cached_tokens
        computed = cached if logprobs is None else len(job.tokens) - 1
        if computed == len(job.tokens) - 1:
            request.prompt_ready, request.prefix = True, copy.deepcopy(cache) if job.n > 1 else None
        self._insert(request, 0, segments(job.tokens, computed, job.boundaries), cache)
        out.event(job.id, job.accepted(cached, logprobs))
        self._branch(request)

    def _score(self, out: Outbox) -> None:
        """Compute a chunk of the oldest prompt that gets log-probabilities."""
        for request in self._scored.requests[:1]:
            step = functools.partial(self._scored.step, request, self._batch.generator.stream, out)
            self._guard(request.job, out, step)

    def _fetch(self, job: LanguageJob) -> tuple[list[Any] | None, int]:
        """`PrefixCache.fetch`, after keeping the prompt of a sequence in the batch that shares a longer prefix."""
        cache, cached = self._prefixes.fetch(job.tokens, job.cache_salt)
        keeps = self._cut_anywhere and self._prefixes.max_bytes > 0
        nearest = nearest_prompt(self._sequences, job, least=cached + self._prefixes.min_saved) if keeps else None
        if nearest is None:
            return cache, cached
        self._keep_prompt(nearest)
        return self._prefixes.fetch(job.tokens, job.cache_salt)

    def _branch(self, request: Request) -> None:
        """Start further outputs of a request, from the prompt that its first sequence has computed."""
        while request.waiting and request.prompt_ready and self._has_room:
            index = request.waiting.pop(0)
            cache = copy.deepcopy(request.prefix) if request.waiting else request.prefix
            self._insert(request, index, [request.job.tokens[-1:]], cache)
        if not request.waiting:
            request.prefix = None

    def _insert(self, request: Request, index: int, parts: list[list[int]], cache: list[Any] | None) -> None:
        sequence = ActiveSequence.of(request, index, self._text, make_processors(request.job.sampling, self._defaults))
        # Further outputs, and caches that cannot be cut, need what is computed before the last token.
        in_one_pass = self._cut_anywhere and not request.waiting
        self._batch.insert(sequence, parts, cache, in_one_pass=in_one_pass)
        sequence.computed = sequence.length - sum(map(len, parts))
        self._sequences[sequence.uid] = request.sequences[sequence.uid] = sequence

    def _rebuild(self, request: Request) -> None:
        """Put the sequences of a request into a new batch."""
        olds = list(request.sequences.values())
        request.sequences.clear()
        for old in olds:
            new = old.again(self._text, make_processors(request.job.sampling, self._defaults))
            self._batch.insert_again(new)
            self._sequences[new.uid] = request.sequences[new.uid] = new

    # ── through the batch ───────────────────────────────────────────────────────────────────────────────────

    def _advance(self, response: Any, now: float, out: Outbox) -> list[int]:
        """Send the events of a sequence's next token. Returns the uids to remove from the batch."""
        if response.finish_reason is not None:
            self._unkept.append(self._batch.keeping(response))
        sequence = self._sequences.get(response.uid)
        if sequence is None:
            return []
        fate = self._ranks.agree(sequence.advance(response.token, response.finish_reason, now, out))
        if fate == "failed":
            return self._forget(sequence.request)
        if fate == "goes on":
            return []
        self._leave(sequence)
        return [sequence.uid] if response.finish_reason is None else []

    def _leave(self, sequence: ActiveSequence) -> None:
        """Forget a sequence whose output is complete, and with the last one its request."""
        del self._sequences[sequence.uid], sequence.request.sequences[sequence.uid]
        if sequence.request.ended:
            del self._requests[sequence.request.job.id]

    def _forget(self, request: Request) -> list[int]:
        """Forget a request. Returns the uids to remove from the batch."""
        self._requests.pop(request.job.id, None)
        for uid in request.sequences:
            self._sequences.pop(uid, None)
        request.waiting.clear()
        request.prefix = request.scoring = None
        return list(request.sequences)

    def _keep_prompts(self, uids: list[int]) -> None:
        """Keep prompts, or parts of them up to a boundary, as soon as they are computed.

        The next turn of the conversation may come before this one ends, and further outputs start from the prompt.
        """
        for uid in uids:
            sequence = self._sequences.get(uid)
            if sequence is not None and (sequence.request.waiting or not self._cut_anywhere):
                self._keep_prompt(uid)

    def _keep_prompt(self, uid: int) -> None:
        """Keep the tokens that a sequence has computed."""
        request = self._sequences[uid].request
        ((cache, tokens),) = self._batch.computed([uid]).values()
        inside = len(tokens) < len(request.job.tokens) - 1
        if request.waiting and not inside and not request.prompt_ready:
            request.prompt_ready, request.prefix = True, copy.deepcopy(cache)
        if self._prefixes.max_bytes > 0:
            kind = "system" if len(tokens) == request.job.system_end else "user"
            self._batch.keep(list(tokens), cache, request.job.cache_salt, kind=kind)

    def _keep_next(self) -> None:
        if self._unkept:
            self._unkept.popleft()()
