"""Which waiting request starts next. Only for the MLX thread."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterable, Sequence

from providers.engines.language.job import LanguageJob
from providers.engines.language.sequences import ActiveSequence
from providers.engines.prefix.cache import MIN_SAVED, PrefixCache
from providers.engines.prefix.common_prefix import common_prefix

__all__ = ["WORTH_WAITING", "take_next"]

WORTH_WAITING = 256
"""Prompt tokens that need not be computed, of all requests that wait: waiting costs each of them a step."""


def take_next(
    waiting: deque[LanguageJob],
    sequences: Collection[ActiveSequence],
    prefixes: PrefixCache,
    *,
    slots: int,
    cut_anywhere: bool,
) -> LanguageJob | None:
    """Take the oldest request that may start now; None if each waits for a prompt that is being computed.

    Requests that arrive together with the same system prompt would each compute it. One of them does, and the others
    wait until it has. None waits for less than is kept for it already, nor for a prompt of another salt.

    Args:
        slots: the most sequences at the same time.
        cut_anywhere: whether a cache can be cut to any prefix. Otherwise a prefix ends at a boundary of the prompt.
    """
    held: set[str] = set()
    if prefixes.max_bytes > 0:
        jobs = list(itertools.islice(waiting, max(1, slots - len(sequences))))
        held = _held_back(jobs, sequences, prefixes, cut_anywhere)
    job = next((job for job in waiting if job.id not in held), None)
    if job is not None:
        waiting.remove(job)
    return job


def _held_back(
    jobs: Sequence[LanguageJob], sequences: Iterable[ActiveSequence], prefixes: PrefixCache, cut_anywhere: bool
) -> set[str]:
    """Ids of the jobs that wait, if all of them gain enough by it."""
    leaders: dict[tuple[str | int, ...], list[ActiveSequence]] = {}
    for sequence in sequences:
        if sequence.computed < sequence.request.length - 1:
            leaders.setdefault(_beginning(sequence.request.job), []).append(sequence)
    gains: dict[str, int] = {}
    for job in jobs:
        nearest = leaders.get(_beginning(job))
        if nearest is None or job.prompt_logprobs is not None:
            continue
        shared, computed = max(_shared(leader, job, cut_anywhere) for leader in nearest)
        if shared > computed:
            # What is computed already counts as well: else they would start just before there is most to gain.
            gain = shared - prefixes.kept(job.tokens, job.cache_salt, trims=cut_anywhere)
            if gain >= MIN_SAVED:
                gains[job.id] = gain
    return set(gains) if sum(gains.values()) >= WORTH_WAITING else set()


def _beginning(job: LanguageJob) -> tuple[str | int, ...]:
    return (job.cache_salt, *job.tokens[:MIN_SAVED])


def _shared(leader: ActiveSequence, job: LanguageJob, cut_anywhere: bool) -> tuple[int, int]:
    """Tokens that a job's prompt shares with a sequence's, and how many of the latter's are computed."""
    shared = min(common_prefix(leader.request.job.tokens, job.tokens), len(job.tokens) - 1)
    if not cut_anywhere:
        shared = max((cut for cut in leader.request.job.boundaries if cut <= shared), default=0)
    return shared, leader.computed
