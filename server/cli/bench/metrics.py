"""Metrics of contenders and their comparison."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import attrs

from server.cli.bench.load import LoadResult
from server.cli.bench.sweep import Case, Run

__all__ = ["METRICS", "Metric", "Ratio", "ratios", "summaries"]


@attrs.frozen
class Metric:
    """A field of `LoadResult` and its display names."""

    field: str
    label: str
    heading: str
    """Heading of its column, short because of the neighbouring columns."""
    seconds: bool = True
    """True: a time, where less is better. False: a rate, where more is better."""

    def of(self, result: LoadResult) -> float:
        value: float = getattr(result, self.field)
        return value


METRICS = (
    Metric("tokens_per_second", "tokens/s", "tokens/s", seconds=False),
    Metric("first_token_p50", "first token p50", "first token p50"),
    Metric("first_token_p95", "first token p95", "p95"),
    Metric("first_token_p99", "first token p99", "p99"),
    Metric("inter_token_p50", "between tokens p50", "between p50"),
    Metric("inter_token_p95", "between tokens p95", "p95"),
    Metric("inter_token_p99", "between tokens p99", "p99"),
)


@attrs.frozen(kw_only=True)
class Ratio:
    """One metric of the first contender divided by that of the second, in one case."""

    case: Case
    metric: Metric
    values: tuple[float, float]
    """Both contenders' medians over the rounds."""
    rounds: tuple[float, ...]
    """The ratio in each round that both completed."""

    @property
    def value(self) -> float:
        """The median of the rounds' ratios. Within a round, the machine's load affects both contenders alike."""
        return statistics.median(self.rounds)


def summaries(runs: Sequence[Run]) -> dict[tuple[Case, str], LoadResult]:
    """Results by case and contender, all rounds as one, in the order of the first runs."""
    grouped: dict[tuple[Case, str], list[LoadResult]] = {}
    for run in runs:
        grouped.setdefault((run.case, run.contender), []).append(run.result)
    return {key: LoadResult.over_rounds(results) for key, results in grouped.items()}


def ratios(runs: Sequence[Run], first: str, second: str) -> list[Ratio]:
    """Ratios of every metric in every case, over the rounds that both contenders completed."""
    done = {(run.case, run.round, run.contender): run.result for run in runs if run.complete}
    found = []
    for case in dict.fromkeys(run.case for run in runs):
        pairs = [
            (done[case, number, first], done[case, number, second])
            for number in sorted({run.round for run in runs if run.case == case})
            if (case, number, first) in done and (case, number, second) in done
        ]
        found += [_ratio(case, metric, pairs) for metric in METRICS if pairs]
    return found


def _ratio(case: Case, metric: Metric, pairs: Sequence[tuple[LoadResult, LoadResult]]) -> Ratio:
    values = [(metric.of(one), metric.of(other)) for one, other in pairs]
    return Ratio(
        case=case,
        metric=metric,
        values=(statistics.median(one for one, _ in values), statistics.median(other for _, other in values)),
        rounds=tuple(one / other if other else float("nan") for one, other in values),
    )
