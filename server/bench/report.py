"""The suite's result as Markdown (for docs/performance.md), and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cattrs
import msgspec

from server.bench.suite import Measured, SuiteResult

__all__ = ["to_json", "to_markdown"]


def to_json(result: SuiteResult) -> bytes:
    return msgspec.json.format(msgspec.json.encode(cattrs.unstructure(result)), indent=2)


def to_markdown(result: SuiteResult) -> str:
    """Three tables of ratios; absolute numbers stand beside them only to show the scale."""
    parts = [_overhead(result.overhead), _echo(result.echo_latency_ms)]
    if result.peers:
        parts.append(_peers(result.peers))
    return "\n\n".join(parts) + "\n"


def _overhead(measured: Iterable[Measured]) -> str:
    by_streams: dict[int, dict[str, Measured]] = {}
    for one in measured:
        by_streams.setdefault(one.streams, {})[one.name] = one
    rows = [
        (
            str(streams),
            f"{pair['in-process'].tokens_per_second:.1f}",
            f"{pair['HTTP'].tokens_per_second:.1f}",
            f"{_ratio(pair['HTTP'], pair['in-process']):.3f}",
            " ".join(f"{r:.3f}" for r in _round_ratios(pair["HTTP"], pair["in-process"])),
        )
        for streams, pair in by_streams.items()
    ]
    return _table(("streams", "in-process tok/s", "HTTP tok/s", "HTTP ÷ in-process", "each round"), rows)


def _echo(latency: dict[str, float]) -> str:
    return _table(tuple(f"echo {name}" for name in latency), [tuple(f"{value:.2f} ms" for value in latency.values())])


def _peers(measured: Iterable[Measured]) -> str:
    found = list(measured)
    own = {one.streams: one for one in found if one.name == "this server"}
    rows = [
        (
            one.name,
            str(one.streams),
            f"{one.tokens_per_second:.1f}",
            f"{_ratio(own[one.streams], one):.2f}",
            f"{one.first_token_p50:.2f} s",
            str(one.errors),
        )
        for one in sorted(found, key=lambda one: one.streams)
    ]
    return _table(("server", "streams", "tok/s", "this server ÷ it", "first token p50", "errors"), rows)


def _ratio(one: Measured, other: Measured) -> float:
    return one.tokens_per_second / other.tokens_per_second


def _round_ratios(one: Measured, other: Measured) -> list[float]:
    return [a / b for a, b in zip(one.rounds, other.rounds, strict=True)]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
