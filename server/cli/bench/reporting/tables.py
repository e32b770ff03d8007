"""Tables of measurements, for the terminal and as Markdown, and notes on their limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from server.cli.bench.load import LoadResult
from server.cli.bench.metrics import METRICS, Metric, ratios, summaries
from server.cli.bench.sweep import Case, Run

__all__ = ["Table", "load_notes", "load_tables", "number", "seconds"]


@attrs.frozen
class Table:
    """A table with one heading per column."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 1) -> str:
    """The rounded number; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def seconds(value: float) -> str:
    """A time in the unit that shows about three digits."""
    if math.isnan(value):
        return number(value)
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.{0 if value >= 0.01 else 2}f} ms"


def load_tables(runs: Sequence[Run], contenders: Sequence[str]) -> list[Table]:
    """Results of each contender in each case and, with two contenders, their ratios."""
    found = summaries(runs)
    tables = [_summary(found, contenders)]
    if len(contenders) == 2:
        tables.append(_ratios(runs, *contenders))
    return tables


def load_notes(runs: Sequence[Run]) -> list[str]:
    """Sentences about everything that limits the meaning of the numbers."""
    notes = []
    grouped: dict[tuple[str, int], list[LoadResult]] = {}
    for run in runs:
        grouped.setdefault((run.contender, run.case.max_tokens), []).append(run.result)
    for (name, max_tokens), results in grouped.items():
        requests, errors = sum(r.requests for r in results), sum(r.errors for r in results)
        if errors:
            first = next(r.first_error for r in results if r.first_error)
            notes.append(f"{name}: {errors} of {requests} requests failed, the first with: {first}")
        if short := sum(r.short_answers for r in results):
            average = sum(r.tokens for r in results) / (requests - errors)
            notes.append(
                f"{name}: {short} of {requests - errors} answers ended before {max_tokens} tokens; "
                f"their average is {average:.0f}"
            )
    uncounted = dict.fromkeys(run.contender for run in runs if run.result.counted_chunks)
    notes += [f"{name} reports no token counts: chunks are counted instead" for name in uncounted]
    partial = [run for run in runs if not run.complete]
    notes += [f"{run.contender} was interrupted after {run.result.requests} of {run.case.requests}" for run in partial]
    return notes


def _summary(found: dict[tuple[Case, str], LoadResult], contenders: Sequence[str]) -> Table:
    cases = [case for case, _ in found]
    cached = any(result.cached_tokens > 0 for result in found.values())
    failed = any(result.errors for result in found.values())
    head = [*(["server"] if len(contenders) > 1 else []), *_case_head(cases), "requests"]
    head += ["errors"] if failed else []
    head += [metric.heading for metric in METRICS]
    head += ["prompt", "cached"] if cached else []
    rows = []
    for (case, name), result in found.items():
        row = [*([name] if len(contenders) > 1 else []), *_case_cells(case, cases)]
        row += [str(result.requests), *([str(result.errors)] if failed else [])]
        row += [_cell(metric, metric.of(result)) for metric in METRICS]
        row += [number(result.prompt_tokens, 0), number(result.cached_tokens, 0)] if cached else []
        rows.append(tuple(row))
    return Table(tuple(head), rows)


def _ratios(runs: Sequence[Run], first: str, second: str) -> Table:
    found = ratios(runs, first, second)
    cases = [ratio.case for ratio in found]
    rows = [
        (
            *_case_cells(ratio.case, cases),
            ratio.metric.label,
            *(_cell(ratio.metric, value) for value in ratio.values),
            number(ratio.value, 3),
            " ".join(number(value, 2) for value in ratio.rounds),
        )
        for ratio in found
    ]
    return Table((*_case_head(cases), "metric", first, second, "first ÷ second", "each round"), rows)


def _case_head(cases: Sequence[Case]) -> list[str]:
    return ["streams", *(label for field, label in _SIZES if _varies(cases, field))]


def _case_cells(case: Case, cases: Sequence[Case]) -> list[str]:
    return [str(case.streams), *(str(getattr(case, field)) for field, _ in _SIZES if _varies(cases, field))]


_SIZES = (("prompt_words", "words"), ("max_tokens", "max tokens"))


def _varies(cases: Sequence[Case], field: str) -> bool:
    return len({getattr(case, field) for case in cases}) > 1


def _cell(metric: Metric, value: float) -> str:
    return seconds(value) if metric.seconds else number(value)
