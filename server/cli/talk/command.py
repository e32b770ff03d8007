"""`talk`: a spoken conversation with a model of a running server, by the machine's sound or by WAV files."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from server.cli._output import INTERRUPTED, fail, printable
from server.cli._running.server import server_options

if TYPE_CHECKING:
    from server.cli.talk.screen import Screen
    from server.cli.talk.session import Session
    from server.cli.talk.turns import Talk

__all__ = ["talk"]

_TICK_SECONDS = 0.05
_REFUSED_SECONDS = 1.0
_INSTRUCTIONS = "You talk with a person, aloud. Answer in one or two short spoken sentences, without lists or headings."
_HINT = "Speak. To interrupt an answer, speak too, or press Ctrl-C. Ctrl-C between answers ends."


@click.command()
@click.option("--voice", metavar="NAME", panel="Conversation", help="Voice of the answers. Default: the server's.")
@click.option(
    "--instructions", metavar="TEXT", default=_INSTRUCTIONS, panel="Conversation",
    help="What the model is asked to be. Default: to answer briefly, as in speech.",
)  # fmt: skip
@click.option("--language", metavar="NAME", panel="Conversation", help="Your language, such as en. Default: detected.")
@click.option(
    "--max-tokens", type=click.IntRange(1), default=200, show_default=True, metavar="COUNT", panel="Conversation",
    help="Maximum tokens per answer.",
)  # fmt: skip
@click.option(
    "-i", "--input", "inputs", multiple=True, type=click.Path(dir_okay=False), metavar="FILE", panel="Files",
    help="WAV file to send as your turn, instead of the microphone; may be repeated.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", panel="Files",
    help="WAV file for the answers, instead of the loudspeaker.",
)  # fmt: skip
@click.option("--model", metavar="NAME", panel="Server", help="Model to use. Default: the server's first chat model.")
@server_options
def talk(url: str, api_key: str | None, **options: Any) -> None:
    """Talk with a model of a running server.

    The terminal shows your words while you speak, and lights up the words of the answer while they are said.
    Use headphones, or speak up to interrupt: while an answer sounds, quiet sound counts as its echo.
    """
    from server.cli._running.client import ClientError
    from server.cli.talk.sound import SoundUnusable

    try:
        _talk(url, api_key, options)
    except (ClientError, SoundUnusable) as error:
        fail(printable(str(error)))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _talk(url: str, api_key: str | None, options: dict[str, Any]) -> None:
    from rich.console import Console

    from server.cli._running.client import Client
    from server.cli.talk.screen import Screen
    from server.cli.talk.sound import FileSpeaker, Loudspeaker, recorded
    from server.cli.talk.turns import Talk

    turns = [recorded(Path(path)) for path in options["inputs"]]
    with ExitStack() as stack:
        path = options["output"]
        speaker = stack.enter_context(closing(FileSpeaker(Path(path)) if path is not None else Loudspeaker()))
        with closing(Client(url, api_key)) as client:
            model = options["model"] or _first_model(client)
            session = stack.enter_context(closing(_session(client.url, api_key, model)))
        screen = stack.enter_context(Screen(Console(), model))
        held = Talk(session=session, speaker=speaker, shown=screen.print)
        _begin(session, held, _config(options, hands_free=not turns))
        if turns:
            _by_files(session, held, screen, turns)
        else:
            _by_microphone(session, held, screen)


def _first_model(client: Any) -> str:
    for capability, does in (("transcription", "transcribes"), ("speech", "speaks"), ("chat", "chats")):
        names: list[str] = client.models(capability)
        if not names:
            fail(f"{client.url} serves no model that {does}")
    return names[0]


def _session(url: str, api_key: str | None, model: str) -> Session:
    try:
        from server.cli.talk.session import Session

        return Session(url, api_key, model)
    except ImportError:
        fail("a conversation needs the extra `talk`: pip install 'mlx-openai-server-lab[talk]'")


def _config(options: dict[str, Any], *, hands_free: bool) -> dict[str, Any]:
    """The session's settings, by the names of the protocol."""
    from server.cli.talk.sound import RATE

    sound = {"format": {"type": "audio/pcm", "rate": RATE}}
    transcription = {"language": options["language"]} if options["language"] else {}
    voice = {"voice": options["voice"]} if options["voice"] else {}
    turns = {"type": "server_vad", "create_response": True, "interrupt_response": True} if hands_free else None
    return {
        "type": "realtime",
        "instructions": options["instructions"],
        "output_modalities": ["audio"],
        "max_output_tokens": options["max_tokens"],
        "audio": {
            "input": {**sound, "transcription": transcription, "turn_detection": turns},
            "output": {**sound, **voice},
        },
    }


def _begin(session: Session, held: Talk, config: dict[str, Any]) -> None:
    """Set the session up, and wait until the server has taken the settings."""
    from server.cli._running.client import ClientError

    session.send("session.update", session=config)
    while True:
        event = session.next(_TICK_SECONDS)
        if event is None:
            continue
        if event["type"] == "session.updated":
            return
        held.take(event)
        if held.notice:
            while True:  # a server that refuses the session closes it, and its reason has more
                if session.next(_REFUSED_SECONDS) is None:
                    raise ClientError(held.notice)


def _by_files(session: Session, held: Talk, screen: Screen, turns: list[bytes]) -> None:
    """Hold one turn per file, each after the answer before was played."""
    from server.cli._running.client import ClientError

    for number, pcm in enumerate(turns, start=1):
        held.say(pcm)
        while held.answered < number or held.answer is not None:
            _step(session, held, screen)
            if held.notice and held.answer is None:
                raise ClientError(held.notice)


def _by_microphone(session: Session, held: Talk, screen: Screen) -> None:
    """Talk until Ctrl-C between two answers."""
    from server.cli.talk.ducking import Ducking
    from server.cli.talk.sound import Microphone

    ducking = Ducking()
    with closing(Microphone(lambda piece: held.hear(ducking.passed(piece)))), _interrupts() as count:
        seen = 0
        while True:
            _step(session, held, screen, hint=_HINT)
            ducking.on = held.answer is not None and held.answer.sounds
            if count() > seen:
                seen = count()
                if not held.interrupt():
                    return


def _step(session: Session, held: Talk, screen: Screen, hint: str = "") -> None:
    event = session.next(_TICK_SECONDS)
    if event is not None:
        held.take(event)
    held.tick()
    screen.update(held, hint)


@contextmanager
def _interrupts() -> Iterator[Callable[[], int]]:
    """Count Ctrl-C instead of raising it, for the block: it must not end the middle of a step."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    before = signal.signal(signal.SIGINT, counted)
    try:
        yield lambda: count
    finally:
        signal.signal(signal.SIGINT, before)
