"""`chat`: talk to a running server in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import attrs
import rich_click as click

from server.cli._output import INTERRUPTED, fail, printable
from server.cli._running.server import server_options

if TYPE_CHECKING:
    from server.cli._running.client import Client

__all__ = ["Conversation", "chat"]

_HELP = """\
  /help    this list
  /reset   start a new conversation
  /exit    leave (also: Ctrl-D)
  Ctrl-C   stop the current answer"""


@click.command()
@click.argument("message", required=False)
@server_options
@click.option("--model", metavar="NAME", panel="Server", help="Model to use. Default: the server's first chat model.")
@click.option("--system", metavar="TEXT", panel="Answer", help="System message of the conversation.")
@click.option(
    "--temperature", type=float, metavar="NUMBER", panel="Answer",
    help="Sampling temperature; 0 always chooses the most likely token.",
)  # fmt: skip
@click.option("--top-p", type=float, metavar="NUMBER", panel="Answer", help="Nucleus sampling: probability to keep.")
@click.option("--max-tokens", type=int, metavar="COUNT", panel="Answer", help="Maximum tokens per answer.")
@click.option("--seed", type=int, metavar="NUMBER", panel="Answer", help="Seed; the same seed repeats an answer.")
def chat(message: str | None, url: str, api_key: str | None, model: str | None, **options: Any) -> None:
    """Talk to a running server.

    On a terminal and without MESSAGE, the command holds a conversation. With MESSAGE or piped text, it prints one
    answer and ends; piped text follows MESSAGE.
    """
    from server.cli._running.client import Client, ClientError

    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().strip()
    one_shot = "\n\n".join(part for part in (message, piped) if part)
    if not one_shot and not sys.stdin.isatty():
        fail("no message: the input is empty")
    try:
        with closing(Client(url, api_key)) as client:
            conversation = Conversation(client=client, model=model or _first_model(client), options=options)
            if one_shot:
                conversation.ask(one_shot)
            else:
                converse(conversation)
    except ClientError as error:
        fail(printable(str(error)))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _first_model(client: Client) -> str:
    names = client.models()
    if not names:
        fail(f"{client.url} serves no chat model")
    return names[0]


@attrs.define(kw_only=True)
class Conversation:
    """The turns so far and the options of the next one. A failed turn is not kept."""

    client: Client
    model: str
    options: dict[str, Any]
    """Sampling parameters by the API's names, and `system`. None means not given."""
    messages: list[dict[str, str]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        system = self.options.get("system")
        self.messages = [{"role": "system", "content": system}] if system else []

    def ask(self, text: str, *, stoppable: bool = False) -> str:
        """Print the answer while it arrives and return a line about it. `stoppable`: Ctrl-C ends only the answer.

        The text before Ctrl-C stays in the conversation.

        Raises:
            ClientError: the request was refused or the stream broke.
        """
        sampling = {name: value for name, value in self.options.items() if name != "system" and value is not None}
        turns = [*self.messages, {"role": "user", "content": text}]
        answer = _Shown()
        note = "stopped"
        stream = self.client.answer({"model": self.model, "messages": turns, **sampling})
        try:
            with closing(stream):
                note = answer.show(stream)
        except KeyboardInterrupt:
            if not stoppable:
                raise
        finally:
            answer.end_line()
        if answer.text:
            self.messages = [*turns, {"role": "assistant", "content": answer.text}]
        return note


class _Shown:
    """An answer while it is printed."""

    def __init__(self) -> None:
        self.text = ""
        self._begun = time.monotonic()
        self._reasoning = False
        self._last = "\n"

    def show(self, stream: Iterator[Any]) -> str:
        from server.cli._running.client import Answered, Piece

        first = None
        for item in stream:
            if isinstance(item, Piece):
                first = first or time.monotonic()
                self._write(item.text, item.reasoning)
            elif isinstance(item, Answered):
                return _note(item.finish_reason, item.completion_tokens, self._begun, first)
        return ""

    def end_line(self) -> None:
        if self._last != "\n":
            click.echo()

    def _write(self, text: str, reasoning: bool) -> None:
        if self._reasoning and not reasoning:
            click.echo("\n")
        self._reasoning = reasoning
        if not reasoning:
            self.text += text
        shown = printable(text)
        click.echo(click.style(shown, dim=True) if reasoning else shown, nl=False)
        sys.stdout.flush()
        self._last = shown[-1:] or self._last


def _note(reason: str | None, tokens: int | None, begun: float, first: float | None) -> str:
    parts = ["cut off: the answer reached its maximum length"] if reason == "length" else []
    if tokens and first is not None:
        span = time.monotonic() - first
        parts.append(f"{tokens} token{'s' * (tokens != 1)}")
        parts.append(f"first after {first - begun:.2f} s")
        if span > 0 and tokens > 1:
            parts.append(f"{(tokens - 1) / span:.1f} tokens/s")
    return ", ".join(parts)


def converse(conversation: Conversation) -> None:
    """Read messages and print answers until Ctrl-D or /exit."""
    from server.cli._running.client import ClientError

    with suppress(ImportError):
        import readline  # noqa: F401  # gives input() line editing and history
    click.echo(f"Talking to {printable(conversation.model)} at {conversation.client.url}. /help lists commands.\n")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo("\n(Ctrl-D or /exit leaves)")
            continue
        if text in {"/exit", "/quit"}:
            return
        if text.startswith("/"):
            _command(conversation, text)
            continue
        if not text:
            continue
        try:
            note = conversation.ask(text, stoppable=True)
        except ClientError as error:
            click.echo(click.style(f"Error: {printable(str(error))}", fg="red"), err=True)
        else:
            click.echo(click.style(f"[{note}]\n", dim=True) if note else "")


def _command(conversation: Conversation, text: str) -> None:
    if text == "/help":
        click.echo(_HELP)
    elif text == "/reset":
        conversation.reset()
        click.echo("New conversation.")
    else:
        click.echo(f"There is no command {text}.\n{_HELP}")
