"""Plots of measurements as PNG. They need matplotlib, which the extra `bench` installs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from server.cli.bench.load import LoadResult
from server.cli.bench.metrics import summaries
from server.cli.bench.sweep import Case, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MISSING", "can_plot", "plot_debates", "plot_load"]

MISSING = "a plot needs matplotlib, which the extra `bench` installs (or: pip install matplotlib)"
_SIZES = {"streams": "streams", "prompt_words": "words per prompt", "max_tokens": "maximum tokens per answer"}
_INCHES = (13.0, 4.2)
_DPI = 120


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def plot_load(runs: Sequence[Run], file: Path) -> None:
    """Plot throughput, time to first token and gaps between tokens over the size with the most values.

    There is one line per contender and combination of the other sizes; bands reach from the median to the 95th
    percentile.
    """
    from matplotlib.figure import Figure

    found = summaries(runs)
    axis = max(_SIZES, key=lambda field: len({getattr(case, field) for case, _ in found}))
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    throughput, first, between = figure.subplots(1, 3)
    for label, points in _lines(found, axis).items():
        places = [place for place, _ in points]
        results = [result for _, result in points]
        throughput.plot(places, [result.tokens_per_second for result in results], marker="o", label=label)
        _band(first, places, [(r.first_token_p50, r.first_token_p95) for r in results])
        _band(between, places, [(r.inter_token_p50, r.inter_token_p95) for r in results])
    for axes, title in (
        (throughput, "tokens/s"),
        (first, "ms to the first token, p50 to p95"),
        (between, "ms between tokens, p50 to p95"),
    ):
        axes.set(title=title, xlabel=_SIZES[axis], xticks=sorted({getattr(case, axis) for case, _ in found}))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    throughput.legend()
    figure.savefig(file, format="png")


def _lines(found: dict[tuple[Case, str], LoadResult], axis: str) -> dict[str, list[tuple[int, LoadResult]]]:
    """Lines by legend: positions on the axis, in order, and the results there."""
    others = [field for field in _SIZES if field != axis and len({getattr(case, field) for case, _ in found}) > 1]
    lines: dict[str, list[tuple[int, LoadResult]]] = {}
    for (case, name), result in found.items():
        label = ", ".join([name, *(f"{getattr(case, field)} {_SIZES[field]}" for field in others)])
        lines.setdefault(label, []).append((getattr(case, axis), result))
    return {label: sorted(points, key=lambda point: point[0]) for label, points in lines.items()}


def _band(axes: Axes, places: Sequence[int], percentiles: Sequence[tuple[float, float]]) -> None:
    """Draw a line of the lower percentile and a band up to the higher one; seconds become milliseconds."""
    low, high = ([value * 1000 for value in values] for values in zip(*percentiles, strict=True))
    (line,) = axes.plot(places, low, marker="o")
    axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15)


def plot_debates(debates: Mapping[str, Sequence[tuple[float, float, float]]], file: Path) -> None:
    """Plot debates; by server, `debates` holds prompt tokens, cached tokens and seconds to the first token per turn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    times, tokens = figure.subplots(1, 2)
    for name, turns in debates.items():
        places = range(1, len(turns) + 1)
        (line,) = times.plot(places, [seconds * 1000 for _, _, seconds in turns], marker="o", label=name)
        tokens.plot(
            places, [prompt for prompt, _, _ in turns], marker="o", color=line.get_color(), label=f"{name}: prompt"
        )
        tokens.plot(
            places, [cached for _, cached, _ in turns], marker="x", linestyle="--", color=line.get_color(),
            label=f"{name}: cached",
        )  # fmt: skip
    for axes, title in ((times, "ms to the first token"), (tokens, "tokens")):
        axes.set(title=title, xlabel="statement", xticks=range(1, max(map(len, debates.values())) + 1))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(file, format="png")
