"""Progress on a terminal and in a log."""

from __future__ import annotations

import io

from rich.console import Console

from providers.weights import terminal_progress


def render(*, terminal: bool) -> str:
    out = io.StringIO()
    with terminal_progress(Console(file=out, force_terminal=terminal, width=100)) as progress:
        progress("Fetching [a]", None)
        progress("Fetching [a]", 0.25)
        progress("Converting", 0.5)
    return out.getvalue()


def test_a_log_gets_one_line_per_stage() -> None:
    assert render(terminal=False) == "Fetching [a]\nConverting\n"


def test_a_terminal_gets_one_bar_per_stage() -> None:
    shown = render(terminal=True)

    assert "Fetching [a]" in shown
    assert "50%" in shown
