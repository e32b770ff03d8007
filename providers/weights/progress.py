"""Progress of downloads and conversions: the callback's Protocol, and a bar for the terminal."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:  # engines import this package to find their weights, and never show progress
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["ProgressCallback", "Stage", "silent", "terminal_progress"]


class Stage(str):
    """Text of a stage, and the figures of its download for programs."""

    total: int | None
    """Bytes."""
    digest: str | None
    """Of the file, as `sha256:…`."""

    def __new__(cls, text: str, *, total: int | None = None, digest: str | None = None) -> Self:
        stage = super().__new__(cls, text)
        stage.total, stage.digest = total, digest
        return stage


class ProgressCallback(Protocol):
    """Called from the thread that does the work; must return immediately and must not raise."""

    def __call__(self, stage: str, fraction: float | None) -> None:
        """`stage` is text to show, a `Stage` where bytes are counted.

        `fraction` runs from 0 to 1 within the stage, None if it is unknown.
        """


def silent(stage: str, fraction: float | None) -> None:
    """Ignore all progress."""


@contextmanager
def terminal_progress(console: Console | None = None) -> Generator[ProgressCallback]:
    """One live bar per stage on a terminal, one line per stage elsewhere. Writes to standard error."""
    from rich.console import Console

    console = console or Console(stderr=True)
    if console.is_terminal:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[percent]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as bars:
            yield _Bars(bars)
    else:
        yield _Lines(console)


class _Bars:
    """One bar per stage; a new stage completes the previous one."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._stage: str | None = None
        self._task: TaskID | None = None

    def __call__(self, stage: str, fraction: float | None) -> None:
        if stage != self._stage or self._task is None:
            if self._task is not None:
                self._bars.update(self._task, total=1.0, completed=1.0, percent="100%")
            self._stage = stage
            self._task = self._bars.add_task(stage, total=None, percent="")
        percent = "" if fraction is None else f"{fraction:4.0%}"
        self._bars.update(
            self._task, total=None if fraction is None else 1.0, completed=fraction or 0.0, percent=percent
        )


class _Lines:
    """One line per stage, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage: str | None = None

    def __call__(self, stage: str, fraction: float | None) -> None:
        if stage != self._stage:
            self._stage = stage
            self._console.print(stage, markup=False, highlight=False, soft_wrap=True)
