"""Prompts that are computed and kept for a later request, while nothing else is to do. Only for the MLX thread."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from providers.chat.types import Accepted, Finished, Usage
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.language.batch import Batch
from providers.engines.language.job import LanguageJob
from providers.engines.prefix.cache import PrefixCache, worth_keeping
from providers.engines.process.base import as_service_error, late, timed_out
from providers.engines.process.engine import Outbox
from providers.errors import ServiceError

__all__ = ["FILLED_TOKENS", "Fillings"]

FILLED_TOKENS = 128
"""Tokens of a chunk: a request that arrives waits for one."""


@attrs.define(eq=False)
class _Filling:
    """A job in progress. `computed` of its tokens are in the cache."""

    job: LanguageJob
    cache: list[Any]
    cached: int
    computed: int
    cuts: list[int]
    """Where the cache is kept, ascending."""
    begun: float = attrs.field(factory=time.monotonic)


class Fillings:
    """Jobs that only compute their prompts, one after the other.

    Each `step` computes one chunk of the oldest. What is computed of a job that is cancelled is kept as well.
    """

    def __init__(
        self,
        model: Any,
        prefixes: PrefixCache,
        batch: Callable[[], Batch],
        make_room: Callable[[LanguageJob], None],
        trimmable: bool,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make an empty queue.

        Args:
            batch: the current batch of the engine, whose stream computes, and which keeps the caches.
            make_room: makes room for the prompt of a job, or raises the error for its client.
            trimmable: whether a cache can be cut back to any prefix. Otherwise it is also kept at the boundaries.
            ranks: those that compute the prompts together.
        """
        self._model = model
        self._prefixes = prefixes
        self._batch = batch
        self._make_room = make_room
        self._trimmable = trimmable
        self._ranks = ranks
        self._waiting: deque[LanguageJob] = deque()
        self._current: _Filling | None = None

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._current)

    def submit(self, job: LanguageJob) -> None:
        self._waiting.append(job)

    def cancel(self, request_id: str) -> None:
        """Forget a job; unknown ids are ignored."""
        if self._current is not None and self._current.job.id == request_id:
            self._keep(self._current)
            self._current = None
        self._waiting = deque(job for job in self._waiting if job.id != request_id)

    def expire(self, out: Outbox) -> None:
        """Fail the jobs whose deadline is over."""
        jobs = [*self._waiting, *([] if self._current is None else [self._current.job])]
        for job in late(jobs, self._ranks):
            self._fail(job, timed_out(), out)

    def step(self, out: Outbox) -> None:
        """Compute the next chunk, and end the job whose last one it was."""
        if self._current is None and not self._waiting:
            return
        job = self._waiting[0] if self._current is None else self._current.job
        try:
            with mx.stream(self._batch().generator.stream):
                self._advance(out)
        except BaseException as error:
            self._ranks.check(error)
            self._fail(job, job.context.run(as_service_error, error, job.id), out)

    def fail_all(self, error: Callable[[], ServiceError], out: Outbox) -> None:
        for job in [*self._waiting, *([] if self._current is None else [self._current.job])]:
            out.fail(job.id, error())
        self._waiting.clear()
        self._current = None

    def _advance(self, out: Outbox) -> None:
        if self._current is None:
            self._current = self._begun(self._waiting[0])
            job = self._waiting.popleft()
            out.event(job.id, Accepted(prompt_tokens=len(job.tokens), cached_tokens=self._current.cached))
        filling = self._current
        tokens = filling.job.tokens
        if filling.cuts:
            end = min(filling.computed + FILLED_TOKENS, filling.cuts[0])
            self._model(mx.array(tokens[filling.computed : end])[None], cache=filling.cache)
            mx.eval([layer.state for layer in filling.cache])
            filling.computed = end
            if end == filling.cuts[0]:
                filling.cuts.pop(0)
                self._keep(filling)
        if not filling.cuts:
            self._current = None
            usage = Usage(len(tokens), 0, filling.cached)
            out.event(filling.job.id, Finished("length", usage, time.monotonic() - filling.begun, 0.0))

    def _begun(self, job: LanguageJob) -> _Filling:
        self._make_room(job)
        cache, cached = self._prefixes.fetch(job.tokens, job.cache_salt)
        # The last token stays out: the request that reads the prompt feeds it to get the first of its answer.
        end = len(job.tokens) - 1
        boundaries = [] if self._trimmable else worth_keeping([cut for cut in job.boundaries if cut < end], cached)
        cuts = [cut for cut in (*boundaries, end) if cut > cached]
        return _Filling(job, cache or make_prompt_cache(self._model), cached, cached, cuts)

    def _keep(self, filling: _Filling) -> None:
        """Keep what is computed. A cache that goes on to be filled is kept as a copy."""
        if filling.computed > filling.cached and self._prefixes.max_bytes > 0:
            cache = copy.deepcopy(filling.cache) if filling.cuts else filling.cache
            job = filling.job
            self._batch().keep(job.tokens[: filling.computed], cache, job.cache_salt, kind="user")

    def _fail(self, job: LanguageJob, error: ServiceError, out: Outbox) -> None:
        out.fail(job.id, error)
        if self._current is not None and self._current.job is job:
            self._current = None
        self._waiting = deque(waiting for waiting in self._waiting if waiting is not job)
