"""What the terminal shows of a debate: two live columns, or one line per statement where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from server.cli._output import printable
from server.cli.debate.turns import Debate, Statement

__all__ = ["Stage", "make_stage"]

_STYLES = ("cyan", "magenta")
_SHOWN = 2
"""Statements of each speaker that are visible, so that the columns fit into a window."""


class Stage(Protocol):
    """Shows a debate while it runs."""

    def __enter__(self) -> Stage: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, statement: Statement, state: str) -> None:
        """Show a statement as it is now. `state` is what its speaker does."""

    def end(self, statement: Statement) -> None:
        """Show a complete statement."""


def make_stage(console: Console, debate: Debate) -> Stage:
    """The stage that suits this console."""
    return _Columns(console, debate) if console.is_terminal else _Lines(console)


class _Lines:
    """A line per complete statement."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, statement: Statement, state: str) -> None: ...

    def end(self, statement: Statement) -> None:
        text = Text(f"{statement.speaker.name}: {_one_line(statement.text)}")
        self._console.print(text, soft_wrap=True)


class _Columns:
    """A column per speaker, with the latest statements; complete rounds scroll away above it."""

    def __init__(self, console: Console, debate: Debate) -> None:
        self._console = console
        self._debate = debate
        self._live = Live(console=console, refresh_per_second=12, transient=True)
        self._state = ""
        self._now: Statement | None = None

    def __enter__(self) -> Stage:
        self._console.print(Text(self._debate.topic, style="bold"), justify="center")
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        self._console.print(self._table(whole=True))

    def update(self, statement: Statement, state: str) -> None:
        self._now, self._state = statement, state
        self._live.update(self._table(whole=False))

    def end(self, statement: Statement) -> None:
        self._now = None
        self._live.update(self._table(whole=False))

    def _table(self, *, whole: bool) -> Table:
        table = Table.grid(expand=True, padding=(0, 1))
        for _ in self._debate.speakers:
            table.add_column(ratio=1)
        table.add_row(*(self._column(number, whole=whole) for number in range(len(self._debate.speakers))))
        return table

    def _column(self, number: int, *, whole: bool) -> Panel:
        speaker, style = self._debate.speakers[number], _STYLES[number]
        own = [statement for statement in self._debate.statements if statement.speaker is speaker]
        shown = own if whole else own[-_SHOWN:]
        texts = [
            Text(_one_line(statement.text), style="" if statement is self._now or whole else "dim")
            for statement in shown
        ]
        speaks = self._now is not None and self._now.speaker is speaker
        return Panel(
            Group(*(part for text in texts for part in (text, Text()))) if texts else Text("…", style="dim"),
            title=Text(f"{printable(speaker.name)}, {speaker.side}", style=style),
            subtitle=Text(self._state if speaks else "", style="dim"),
            border_style=style if speaks else "dim",
        )


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
