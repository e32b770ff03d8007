"""What the traces of two turns show of the silence between them: its parts, and a picture of them."""

from __future__ import annotations

from html import escape
from typing import Any

import attrs

from tests.live.client import ask, eventually
from tests.live.harness import LiveServer

__all__ = ["Gap", "picture", "read_gap", "table"]

COLOURS = {"sound": "#8a9a2b", "prefill": "#3f8ae0", "decode": "#35a162", "speech": "#d6568f"}
"""Those of the page at `/traces`."""
LEFT, WIDTH, ROW = 150, 760, 24


@attrs.frozen(kw_only=True)
class Bar:
    """A span. Times are seconds from the last sound of the first speaker."""

    kind: str
    begin: float
    end: float


@attrs.frozen(kw_only=True)
class Gap:
    """The silence between two turns, by the server's spans."""

    name: str
    seconds: float
    prompt: int
    cached: int
    first: list[Bar]
    """What was heard of the first speaker."""
    ahead: list[Bar]
    """The second speaker's prompt, computed meanwhile."""
    second: list[Bar]
    """The second speaker's turn, up to its first sound."""

    def length(self, kind: str) -> float:
        return sum(bar.end - bar.begin for bar in self.second if bar.kind == kind)


def read_gap(server: LiveServer, trace_id: str, *, name: str) -> Gap:
    """Read the gap from the requests of the trace: those whose IDs end with `first`, `ahead-…` and `second`."""

    def requests() -> list[dict[str, Any]]:
        found = ask(server.url, method="GET", path="/traces/data").json()["requests"]
        return [one for one in found if one["trace_id"] == trace_id and one["finished"] and "gap-" in one["request_id"]]

    def one(ending: str) -> dict[str, Any]:
        return next(request for request in requests() if request["request_id"].endswith(ending))

    eventually(lambda: all(any(span["name"] == "client playback" for span in one(end)["spans"]) for end in ENDS))
    first, second = map(one, ENDS)
    heard = _first(first, "client playback")
    zero = first["start"] + heard["start"] + heard["duration"]
    prefill, speech, sound = (_first(second, kind) for kind in ("prefill", "speech", "client playback"))
    later = second["start"] - zero
    marks = [prefill["start"], prefill["start"] + prefill["duration"], speech["start"], sound["start"]]
    kinds = ("prefill", "decode", "speech")
    attributes = prefill["attributes"]
    return Gap(
        name=name,
        seconds=later + sound["start"],
        prompt=attributes["gen_ai.usage.input_tokens"],
        cached=attributes.get("gen_ai.usage.cache_read.input_tokens", 0),
        first=[_bar("sound", first, heard, zero)],
        ahead=[
            _bar("prefill", request, _first(request, "prefill"), zero)
            for request in requests()
            if "-ahead-" in request["request_id"]
        ],
        second=[
            Bar(kind=kind, begin=later + begin, end=later + end)
            for kind, begin, end in zip(kinds, marks, marks[1:], strict=False)
        ],
    )


ENDS = ("-first", "-second")


def _first(request: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        span for span in request["spans"] if span["name"] == kind or span["name"].split()[0] == kind
    )
    return found


def _bar(kind: str, request: dict[str, Any], span: dict[str, Any], zero: float) -> Bar:
    begin = request["start"] + span["start"] - zero
    return Bar(kind=kind, begin=begin, end=begin + span["duration"])


def table(gaps: list[Gap]) -> str:
    """The parts of each gap as Markdown."""
    rows = {
        "before the turn's `prefill`": [f"{gap.second[0].begin:.2f} s" for gap in gaps],
        "`prefill` of the turn": [f"{gap.length('prefill'):.2f} s" for gap in gaps],
        "its tokens in the cache (`gen_ai.usage.cache_read.input_tokens`)": [
            f"{gap.cached:,} of {gap.prompt:,}" for gap in gaps
        ],
        "`decode`, to the beginning of the first `speech`": [f"{gap.length('decode'):.2f} s" for gap in gaps],
        "`speech`, to `playback.started`": [f"{gap.length('speech'):.2f} s" for gap in gaps],
        "**silence**": [f"**{gap.seconds:.2f} s**" for gap in gaps],
    }
    head = f"| | {' | '.join(gap.name for gap in gaps)} |\n|---|{'---|' * len(gaps)}"
    return "\n".join([head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def picture(gaps: list[Gap]) -> str:
    """The gaps as SVG, on one axis whose zero is the first speaker's last sound."""
    begin = min(bar.begin for gap in gaps for bar in (*gap.ahead, *gap.second, Bar(kind="", begin=-6.0, end=0.0)))
    end = max(gap.seconds for gap in gaps) + 1.5
    height = 60 + len(gaps) * (3 * ROW + 40)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (min(max(seconds, begin), end) - begin) / (end - begin)

    def rectangle(bar: Bar, y: float) -> str:
        width = max(1.5, x(bar.end) - x(bar.begin))
        return (
            f'<rect x="{x(bar.begin):.1f}" y="{y}" width="{width:.1f}" height="16" rx="2" fill="{COLOURS[bar.kind]}"/>'
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, gap in enumerate(gaps):
        top = 20 + number * (3 * ROW + 40)
        parts.append(f'<text x="12" y="{top}" font-weight="bold">{escape(gap.name.replace("`", ""))}</text>')
        then = Bar(kind="sound", begin=gap.seconds, end=end)
        rows = [
            ("first speaker heard", gap.first),
            ("prefill_only", gap.ahead),
            ("second speaker", [*gap.second, then]),
        ]
        for row, (name, bars) in enumerate(rows):
            y = top + 10 + row * ROW
            parts.append(f'<text x="{LEFT - 10}" y="{y + 12}" text-anchor="end">{name}</text>')
            parts += [rectangle(bar, y) for bar in bars]
        y = top + 10 + 3 * ROW
        parts.append(f'<path d="M{x(0):.1f} {top + 6}V{y}M{x(gap.seconds):.1f} {top + 6}V{y}" stroke="#333"/>')
        middle = (x(0) + x(gap.seconds)) / 2
        parts.append(f'<text x="{middle:.1f}" y="{y + 12}" text-anchor="middle">{gap.seconds:.1f} s of silence</text>')
    words = {"sound": "heard", "prefill": "prefill", "decode": "first clause", "speech": "its synthesis"}
    for number, (kind, word) in enumerate(words.items()):
        left = LEFT + 140 * number
        parts.append(f'<rect x="{left}" y="{height - 26}" width="12" height="12" rx="2" fill="{COLOURS[kind]}"/>')
        parts.append(f'<text x="{left + 18}" y="{height - 16}">{word}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
