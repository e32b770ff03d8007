"""The suite's result as Markdown (for docs/performance.md), and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cattrs
import msgspec

from server.bench.suite import Measured, SuiteResult, Turns

__all__ = ["to_json", "to_markdown"]


def to_json(result: SuiteResult) -> bytes:
    return msgspec.json.format(msgspec.json.encode(cattrs.unstructure(result)), indent=2)


def to_markdown(result: SuiteResult) -> str:
    """Tables of ratios; absolute numbers stand beside them only to show the scale."""
    parts = [
        _overhead(result.overhead),
        _grammar(*result.grammar),
        _turns(result.turns),
        _table(("ready after launch, each time",), [(" ".join(f"{s:.1f} s" for s in result.ready_seconds),)]),
        _echo(result.echo_latency_ms),
    ]
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


def _grammar(free: Measured, held: Measured) -> str:
    row = (
        str(free.streams),
        f"{free.tokens_per_second:.1f}",
        f"{held.tokens_per_second:.1f}",
        f"{_ratio(held, free):.3f}",
        " ".join(f"{r:.3f}" for r in _round_ratios(held, free)),
    )
    return _table(("streams", "free tok/s", "JSON schema tok/s", "JSON schema ÷ free", "each round"), [row])


def _turns(turns: Iterable[Turns]) -> str:
    rows = [
        (
            " → ".join(map(str, one.prompt_tokens)),
            *(f"{seconds:.2f} s" for seconds in one.first_token_seconds),
            f"{one.first_token_seconds[1] / one.first_token_seconds[0]:.3f}",
        )
        for one in turns
    ]
    return _table(("prompt tokens", "first token, first turn", "second turn", "second ÷ first"), rows)


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
