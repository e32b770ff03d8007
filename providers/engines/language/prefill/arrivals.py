"""Which waiting request starts next. Only for the MLX thread."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping

import attrs

from providers.engines.language.job import LanguageJob
from providers.engines.language.sequences import ActiveSequence
from providers.engines.prefix.cache import PrefixCache
from providers.engines.prefix.common_prefix import common_prefix

__all__ = ["WORTH_WAITING", "Arrivals"]

WORTH_WAITING = 256
"""Prompt tokens that need not be computed, of all requests that wait: waiting costs each of them a step."""

_Beginning = tuple[str | int, ...]


class Arrivals:
    """Chooses among the waiting requests, during one step.

    Requests that arrive together with the same system prompt would each compute it. One of them does, and the others
    wait until it has. None waits for less than is kept for it already, nor for a prompt of another salt.

    A request is compared once with each sequence, not again whenever another one starts: of 128 requests that arrive
    together, that is 8,000 comparisons instead of 350,000.
    """

    def __init__(
        self,
        waiting: deque[LanguageJob],
        sequences: Mapping[int, ActiveSequence],
        prefixes: PrefixCache,
        *,
        slots: int,
        cut_anywhere: bool,
    ) -> None:
        """Begin to choose.

        Args:
            waiting: the requests, the oldest first. `take` removes one.
            sequences: those in the batch by uid, to which the caller adds those of the requests that it starts.
            slots: the most sequences at the same time.
            cut_anywhere: whether a cache can be cut to any prefix. Otherwise a prefix ends at a boundary of the prompt.
        """
        self._waiting = waiting
        self._sequences = sequences
        self._prefixes = prefixes
        self._slots = slots
        self._cut_anywhere = cut_anywhere
        self._seen: set[int] = set()
        """Uids of the sequences that have been looked at."""
        self._leaders: dict[_Beginning, list[ActiveSequence]] = {}
        """The sequences among them whose prompts are not computed yet, by their first tokens."""
        self._gains: dict[str, _Gain] = {}
        """By the waiting request's id."""

    def take(self) -> LanguageJob | None:
        """Take the oldest request that may start now; None if each waits for a prompt that is being computed."""
        held = self._held_back() if self._prefixes.max_bytes > 0 else set[str]()
        job = next((job for job in self._waiting if job.id not in held), None)
        if job is not None:
            self._waiting.remove(job)
        return job

    def _held_back(self) -> set[str]:
        """Ids of the requests that wait, if all of them gain enough by it."""
        self._add_leaders()
        held: set[str] = set()
        total = 0
        for job in itertools.islice(self._waiting, max(1, self._slots - len(self._sequences))):
            if job.prompt_logprobs is not None:
                continue
            gain = self._gain(job)
            if gain >= self._prefixes.min_saved:
                held.add(job.id)
                total += gain
        return held if total >= WORTH_WAITING else set()

    def _add_leaders(self) -> None:
        for uid, sequence in self._sequences.items():
            if uid not in self._seen:
                self._seen.add(uid)
                if sequence.computed < sequence.request.length - 1:
                    self._leaders.setdefault(self._beginning(sequence.request.job), []).append(sequence)

    def _gain(self, job: LanguageJob) -> int:
        gain = self._gains.get(job.id)
        if gain is None:
            leaders = self._leaders.setdefault(self._beginning(job), [])
            gain = self._gains[job.id] = _Gain(job, leaders, cut_anywhere=self._cut_anywhere)
        return gain.tokens(self._prefixes)

    def _beginning(self, job: LanguageJob) -> _Beginning:
        """What a prompt must share with another one for any gain."""
        return (job.cache_salt, *job.tokens[: self._prefixes.min_saved])


@attrs.define
class _Gain:
    """What a request gains by waiting for the sequence that shares the longest prefix with it."""

    job: LanguageJob
    leaders: list[ActiveSequence]
    """Those with the same first tokens. More are appended later."""
    cut_anywhere: bool = attrs.field(kw_only=True)
    compared: int = 0
    """The first leaders, with which the request has been compared."""
    shared: int = 0
    """Tokens that the prompt shares with the nearest of them."""
    computed: int = 0
    """How many of its tokens that leader has computed."""
    kept: int = 0
    """Tokens of the prompt that were kept at `change`."""
    change: int = -1

    def tokens(self, prefixes: PrefixCache) -> int:
        """Tokens that the request need not compute if it waits."""
        for leader in self.leaders[self.compared :]:
            self._compare(leader)
        self.compared = len(self.leaders)
        if self.shared <= self.computed:
            return 0
        # What is computed already counts as well: else they would start just before there is most to gain.
        if self.change != prefixes.changes:
            self.kept = prefixes.kept(self.job.tokens, self.job.cache_salt, trims=self.cut_anywhere)
            self.change = prefixes.changes
        return self.shared - self.kept

    def _compare(self, leader: ActiveSequence) -> None:
        """Make this leader the nearest one if it shares more, or as much and has computed more."""
        theirs, own = leader.request.job.tokens, self.job.tokens
        least = max(1, self.shared + (leader.computed <= self.computed))
        if least >= len(own) or theirs[least - 1 : least] != own[least - 1 : least]:
            return
        shared = min(common_prefix(theirs, own), len(own) - 1)
        if not self.cut_anywhere:
            shared = max((cut for cut in leader.request.job.boundaries if cut <= shared), default=0)
        if shared >= least:
            self.shared, self.computed = shared, leader.computed
