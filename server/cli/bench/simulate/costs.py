"""Measured times of one server: a decode step by its rows, a prompt by its tokens, speech by its seconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import cattrs
import msgspec

__all__ = ["PRESETS", "BadCosts", "Costs", "read_costs"]

Points = tuple[tuple[float, float], ...]


class BadCosts(Exception):
    """Raised when a file or a measurement holds no usable times; the message says what is missing."""


def _positive(_: object, attribute: Any, points: Points) -> None:
    if not points:
        raise BadCosts(f"no times in {attribute.name!r}")
    if any(not (at > 0 and time > 0) for at, time in points):
        raise BadCosts(f"times and sizes in {attribute.name!r} must be greater than 0")


def _sorted(points: Sequence[Sequence[float]]) -> Points:
    return tuple(sorted((float(at), float(time)) for at, time in points))


@attrs.frozen(kw_only=True)
class Costs:
    """Times of one server, interpolated between the measured points."""

    decode: Points = attrs.field(converter=_sorted, validator=_positive)
    """Rows of a decode step, and its milliseconds. More rows than measured cost what the last two points predict."""
    prefill: Points = attrs.field(converter=_sorted, validator=_positive)
    """New tokens of a prompt, and the milliseconds of computing it while nothing else runs."""
    beside: float = 1.0
    """Tokens per second of a prompt in small chunks beside running answers, divided by those without answers."""
    step_ms: float = 0.0
    """What the server adds to each step of a bare engine."""
    request_ms: float = 2.0
    """What the server needs for each request before the engine has it, one request after the other."""
    gather_ms: float = 5.0
    """What an idle engine waits for more requests, after requests have overlapped."""
    slots: int = 8
    """Answers that run at the same time (`--max-concurrency`)."""
    speech: float | None = None
    """Seconds of synthesis per second of sound, one text after the other; None: it does not speak."""

    def step(self, rows: int) -> float:
        """Seconds of a decode step."""
        return (_interpolated(self.decode, rows) + self.step_ms) / 1000

    def prompt(self, tokens: int) -> float:
        """Seconds of computing the new tokens of a prompt."""
        return _interpolated(self.prefill, tokens) / 1000


def _interpolated(points: Points, at: float) -> float:
    """Between two points on their line; below the first its value in proportion, at least half of it."""
    places = [place for place, _ in points]
    if at <= places[0]:
        return points[0][1] * max(0.5, at / places[0])
    right = min(bisect_left(places, at), len(points) - 1)
    if not right:
        return points[0][1] * at / places[0]
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return max(y0 + (y1 - y0) * (at - x0) / (x1 - x0), min(y0, y1))


PRESETS: Mapping[str, Costs] = {
    # Steps: "Mixed sampling" and "Time of a decode step"; prompts: "A debate"; speech: "Speech".
    "cpu": Costs(
        decode=((1, 41), (2, 120), (8, 122), (32, 200)),
        prefill=((35, 240), (2170, 9060)),
        beside=0.33,
        request_ms=5,
        gather_ms=20,
        slots=8,
        speech=0.84,
    ),
    # Steps: "Time of a decode step on CUDA". A prompt's time, and what a step of the server takes longer, are fitted to
    # all rows of the table over HTTP; a test shows how far that holds.
    "h200-7b": Costs(
        decode=((1, 4.2), (8, 4.75), (32, 4.6), (64, 5.35), (128, 6.1)),
        prefill=((519, 14), (2076, 56)),
        step_ms=0.6,
        request_ms=3,
        slots=128,
    ),
}
"""Of docs/performance.md: two cores of an AMD EPYC with the embedded models, and a 7B model on one NVIDIA H200."""


def read_costs(path: Path) -> Costs:
    """Read a file that `--save` wrote, or the output of `bench load --json`.

    Raises:
        BadCosts: it is neither, or a time is missing.
        OSError: it cannot be read.
    """
    try:
        data = msgspec.json.decode(path.read_bytes())
        return of_load(data) if isinstance(data, dict) and "runs" in data else cattrs.structure(data, Costs)
    except BadCosts as error:
        raise BadCosts(f"{path}: {error}") from None
    except (msgspec.DecodeError, cattrs.BaseValidationError, KeyError, TypeError, ValueError) as error:
        raise BadCosts(
            f"{path} is neither a file of `--save` nor the output of `bench load --json` ({type(error).__name__})"
        ) from None


def of_load(data: Mapping[str, Any]) -> Costs:
    """Costs from the runs of `bench load --json`: gaps between tokens by streams, and one stream's first tokens.

    Raises:
        BadCosts: no run of one stream, or none of several tokens, succeeded.
    """
    decode: dict[float, list[float]] = {}
    prefill: dict[float, list[float]] = {}
    for run in data["runs"]:
        streams, result = run["case"]["streams"], run["result"]
        if result["inter_token_p50"]:
            decode.setdefault(streams, []).append(result["inter_token_p50"] * 1000)
        computed = (result["prompt_tokens"] or 0) - (result["cached_tokens"] or 0)
        if streams == 1 and computed > 0 and result["first_token_p50"]:
            prefill.setdefault(round(computed), []).append(result["first_token_p50"] * 1000)
    if not prefill:
        raise BadCosts("no run of one stream that reports prompt tokens: measure with --streams 1,…")
    return Costs(
        decode=tuple((rows, min(times)) for rows, times in decode.items()),
        prefill=tuple((tokens, min(times)) for tokens, times in prefill.items()),
        slots=max([8, *(int(rows) for rows in decode)]),
    )
