"""Results as JSON, and the suite's as Markdown (for docs/performance.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cattrs
import msgspec

from server.cli.bench.metrics import ratios
from server.cli.bench.reporting.tables import Table, load_notes, number, seconds
from server.cli.bench.suite.results import HTTP, IN_PROCESS, Measured, SuiteResult, Turns
from server.cli.bench.sweep import Sweep

__all__ = ["as_json", "sweep_data", "to_markdown"]


def as_json(data: Any) -> bytes:
    """JSON of `data`, which may contain attrs objects. Missing measurements (NaN) are null."""
    return msgspec.json.format(msgspec.json.encode(cattrs.unstructure(data)), indent=2)


def sweep_data(sweep: Sweep) -> dict[str, Any]:
    """Every run and, with two contenders, the ratios."""
    names = [contender.name for contender in sweep.contenders]
    compared = ratios(sweep.runs, *names) if len(names) == 2 else []
    return {
        "contenders": [{"name": contender.name, "model": contender.model} for contender in sweep.contenders],
        "runs": [cattrs.unstructure(run) for run in sweep.runs],
        "ratios": [
            {
                "case": cattrs.unstructure(ratio.case),
                "metric": ratio.metric.field,
                "values": ratio.values,
                "ratio": ratio.value,
                "rounds": ratio.rounds,
            }
            for ratio in compared
        ],
        "notes": load_notes(sweep.runs),
    }


def to_markdown(result: SuiteResult) -> str:
    """Tables of ratios; the absolute numbers beside them only show the scale."""
    tables = []
    if result.overhead:
        tables.append(_overhead(result.overhead))
    if result.grammar:
        tables.append(_grammar(*result.grammar))
    if result.turns:
        tables.append(_turns(result.turns))
    if result.ready_seconds:
        times = " ".join(f"{value:.1f} s" for value in result.ready_seconds)
        tables.append(Table(("ready after launch, each time",), [(times,)]))
    if result.echo_latency_ms:
        tables.append(_echo(result.echo_latency_ms))
    if result.peers:
        tables.append(_peers(result.peers))
    return "\n\n".join(table.markdown() for table in tables) + "\n"


def _overhead(measured: Sequence[Measured]) -> Table:
    """One row per case. Columns that would be the same in all rows are left out, and so are servers not measured."""
    cases: dict[tuple[str, int, int], dict[str, Measured]] = {}
    for one in measured:
        cases.setdefault((one.weights, one.prompt_words, one.streams), {})[one.name] = one
    peers = [name for name in dict.fromkeys(one.name for one in measured) if name not in (IN_PROCESS, HTTP)]
    varied = [len({case[place] for case in cases}) > 1 for place in (0, 1)]
    head = ["weights"] * varied[0] + ["prompt tokens"] * varied[1]
    head += ["streams", "in-process tok/s", "HTTP tok/s", "HTTP ÷ in-process", "each round"]
    for peer in peers:
        head += [f"{peer} tok/s", f"HTTP ÷ {peer}"]
    rows = []
    for (weights, _, streams), found in cases.items():
        http = found.get(HTTP)
        tokens = next(iter(found.values())).prompt_tokens
        row = [weights] * varied[0] + [number(tokens, 0)] * varied[1]
        row += [str(streams), *_beside(found.get(IN_PROCESS), http)]
        for peer in peers:
            row += [_rate(found.get(peer)), number(_ratio(found.get(peer), http), 2)]
        rows.append(tuple(row))
    return Table(tuple(head), rows)


def _rate(one: Measured | None) -> str:
    return number(math.nan if one is None else one.tokens_per_second)


def _ratio(base: Measured | None, other: Measured | None) -> float:
    """Throughput divided by that of `base`; NaN where one is missing."""
    return math.nan if base is None or other is None else other.tokens_per_second / base.tokens_per_second


def _grammar(free: Measured, held: Measured) -> Table:
    row = (str(free.streams), *_beside(free, held))
    return Table(("streams", "free tok/s", "JSON schema tok/s", "JSON schema ÷ free", "each round"), [row])


def _beside(base: Measured | None, other: Measured | None) -> tuple[str, str, str, str]:
    """Both throughputs, the second divided by the first, and this ratio in each round that both have."""
    pairs = () if base is None or other is None else zip(base.rounds, other.rounds, strict=False)
    return (
        _rate(base),
        _rate(other),
        number(_ratio(base, other), 3),
        " ".join(number(b / a, 3) for a, b in pairs),
    )


def _turns(turns: Iterable[Turns]) -> Table:
    rows = [
        (
            " → ".join(map(str, one.prompt_tokens)),
            *(f"{value:.2f} s" for value in one.first_token_seconds),
            f"{one.first_token_seconds[1] / one.first_token_seconds[0]:.3f}",
        )
        for one in turns
    ]
    return Table(("prompt tokens", "first token, first turn", "second turn", "second ÷ first"), rows)


def _echo(latency: dict[str, dict[str, float]]) -> Table:
    rows = [(name, *(f"{value:.2f} ms" for value in each.values())) for name, each in latency.items()]
    return Table(("server", *(next(iter(latency.values())))), rows)


def _peers(measured: Sequence[Measured]) -> Table:
    own = {one.streams: one for one in measured if one.name == "this server"}
    rows = [
        (
            one.name,
            str(one.streams),
            number(one.tokens_per_second),
            number(own[one.streams].tokens_per_second / one.tokens_per_second, 2),
            seconds(one.first_token_p50),
            str(one.errors),
        )
        for one in sorted(measured, key=lambda one: one.streams)
    ]
    return Table(("server", "streams", "tok/s", "this server ÷ it", "first token p50", "errors"), rows)
