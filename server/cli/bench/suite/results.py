"""Options of the suite, and what its parts found."""

from __future__ import annotations

import statistics
from pathlib import Path

import attrs

from server.cli.bench.load import LoadResult

__all__ = ["HTTP", "IN_PROCESS", "Measured", "SuiteOptions", "SuiteResult", "Turns"]

IN_PROCESS, HTTP = "in-process", "HTTP"
"""Names of the contenders of the part `overhead`, beside those of other servers."""


@attrs.frozen(kw_only=True)
class SuiteOptions:
    """Options of a run. `model` is a folder of MLX weights."""

    model: Path
    streams: tuple[int, ...] = (1, 4, 8)
    rounds: int = 3
    max_tokens: int = 64
    prompt_words: tuple[int, ...] = (40,)
    """The part `overhead` measures each length, the others the first."""
    bits: tuple[int, ...] = ()
    """The part `overhead` also measures the weights quantised to these numbers of bits."""
    most_words: int | None = None
    """It leaves out cases with more words than these in all prompts together."""
    beside_mlx_lm: bool = False
    """Whether it also measures `mlx_lm.server`, in the same rounds."""
    seconds: float | None = None
    """Bound on all parts together."""
    parts: frozenset[str] = frozenset()
    """Parts to measure, by their fields in the result: `overhead`, `grammar`, `turns`, `ready`, `echo`, `peers`."""
    echo_requests: int = 1000
    peer_rounds: int = 1
    """A round of a peer with the weights as shipped takes minutes."""
    peer_tokens: int = 16
    peer_words: int = 8
    peers: tuple[tuple[str, str], ...] = ()
    """Names and URLs (ending in `/v1`) of other running servers."""


@attrs.frozen(kw_only=True)
class Measured:
    """One contender at one number of streams: medians over the rounds, and every round's tokens per second."""

    name: str
    streams: int
    tokens_per_second: float
    first_token_p50: float
    rounds: tuple[float, ...]
    errors: int = 0
    weights: str = "as given"
    prompt_words: int = 0
    """Words per prompt, where several lengths are measured."""
    prompt_tokens: float = 0.0
    """Average per request."""

    @classmethod
    def of(
        cls, name: str, streams: int, results: list[LoadResult], *, weights: str = "as given", prompt_words: int = 0
    ) -> Measured:
        return cls(
            name=name,
            streams=streams,
            tokens_per_second=statistics.median(r.tokens_per_second for r in results),
            first_token_p50=statistics.median(r.first_token_p50 for r in results),
            rounds=tuple(r.tokens_per_second for r in results),
            errors=sum(r.errors for r in results),
            weights=weights,
            prompt_words=prompt_words,
            prompt_tokens=statistics.median(r.prompt_tokens for r in results),
        )


@attrs.frozen(kw_only=True)
class Turns:
    """One conversation of two turns: tokens of both prompts, and seconds to the first token of both answers."""

    prompt_tokens: tuple[int, int]
    first_token_seconds: tuple[float, float]


@attrs.frozen(kw_only=True)
class SuiteResult:
    """Results so far. `overhead`, `grammar` and `peers` are in the order of the runs; `echo_latency_ms` maps
    servers to percentiles, and these to milliseconds; `ready_seconds` has one number per launch. Parts not measured
    are empty."""

    overhead: tuple[Measured, ...] = ()
    grammar: tuple[Measured, ...] = ()
    turns: tuple[Turns, ...] = ()
    ready_seconds: tuple[float, ...] = ()
    echo_latency_ms: dict[str, dict[str, float]] = attrs.field(factory=dict)
    peers: tuple[Measured, ...] = ()
    notes: tuple[str, ...] = ()
    """Why something is missing."""
