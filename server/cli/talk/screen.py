"""What the terminal shows of a conversation: the turn that is on, with its words lighting up, and the turns before."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from server.cli._output import printable
from server.cli.talk.turns import Talk, Turn

__all__ = ["Screen"]

_STYLES = {"person": "cyan", "model": "magenta"}


class Screen:
    """Prints each turn that has ended. On a terminal, it also draws the turn that is on."""

    def __init__(self, console: Console, model: str) -> None:
        self._console = console
        self._names = {"person": "You", "model": printable(model)}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._notice = ""

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(Text(), refresh=True)
            self._live.__exit__(kind, error, trace)

    def print(self, turn: Turn) -> None:
        """Print a turn that has ended, and the times of an answer."""
        if not turn.heard.strip() and not turn.interrupted:
            return
        line = Text(f"{self._names[turn.who]}: ", style=_STYLES[turn.who])
        line.append(_one_line(turn.heard), style="default")
        if turn.interrupted:
            line.append(" … interrupted", style="dim")
        self._console.print(line, soft_wrap=True)
        if turn.legs:
            legs = ", ".join(f"{leg} {seconds:.2f} s" for leg, seconds in turn.legs.items())
            self._console.print(Text(f"[after your last word: {legs}]", style="dim"), soft_wrap=True)

    def update(self, talk: Talk, hint: str = "") -> None:
        """Draw the turn that is on, and print what the server refused."""
        if talk.notice != self._notice:
            self._notice = talk.notice
            self._console.print(Text(f"Error: {printable(talk.notice)}", style="red"), soft_wrap=True)
        if self._live is None:
            return
        parts = []
        if talk.said is not None:
            parts.append(Text(f"You: {_one_line(talk.said.text) or '…'}", style=_STYLES["person"]))
        if talk.answer is not None:
            name = (f"{self._names['model']}: ", _STYLES["model"])
            parts.append(Text.assemble(name, _lit(talk.answer, talk.speaker.position())))
        if not parts and hint:
            parts.append(Text(hint, style="dim"))
        self._live.update(Group(*parts), refresh=True)


def _lit(answer: Turn, position: float) -> Text:
    """The answer: what was said is bright, the word that is said stands out, and the rest is dim."""
    text = Text(printable(answer.text), style="dim")
    if text.plain != answer.text:
        return text  # offsets of words count what is not shown
    for word in answer.words:
        if word["start_time"] <= position:
            style = "default not dim" if word["end_time"] <= position else "reverse not dim"
            text.stylize(style, word["start_char"], word["end_char"])
    return text


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
