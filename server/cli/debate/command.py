"""`debate`: two speakers argue about a topic, in text or aloud."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from server.cli._output import INTERRUPTED, fail, printable
from server.cli._running.server import server_options

if TYPE_CHECKING:
    from server.cli._running.client import Client
    from server.cli._speech_file import Playback
    from server.cli.debate.stage import Stage
    from server.cli.debate.turns import Debate, Statement

__all__ = ["debate"]

_NAMES = ("Ada", "Ben")
_VOICES = ("af_heart", "am_michael")
_SIDES = ("for", "against")


def _pair(_context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """Two values with a comma between them; one value means it twice."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > 2 or not all(parts):
        raise click.BadParameter("expected two values like 'first,second'", param=parameter)
    return parts[0], parts[-1]


@click.command()
@click.argument("topic")
@click.option(
    "--rounds", type=click.IntRange(1, 50), default=2, show_default=True, metavar="COUNT", panel="Debate",
    help="Statements of each speaker.",
)  # fmt: skip
@click.option(
    "--names", callback=_pair, default=",".join(_NAMES), show_default=True, metavar="FIRST,SECOND", panel="Debate",
    help="The speakers: the first argues for the topic, the second against it.",
)  # fmt: skip
@click.option("--temperature", type=float, metavar="NUMBER", panel="Debate", help="Sampling temperature.")
@click.option(
    "--max-tokens", type=int, default=120, show_default=True, metavar="COUNT", panel="Debate",
    help="Maximum tokens per statement.",
)  # fmt: skip
@click.option(
    "--max-seconds", type=float, metavar="SECONDS", panel="Debate",
    help="Spoken time of a statement: it ends with the last sentence that fits. Only aloud.",
)  # fmt: skip
@click.option("--seed", type=int, metavar="NUMBER", panel="Debate", help="Seed; the same seed repeats a debate.")
@click.option("--speak", is_flag=True, panel="Speech", help="Play the debate while it is spoken.")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False), metavar="FOLDER", panel="Speech",
    help="Folder for a WAV file per statement, and debate.wav.",
)  # fmt: skip
@click.option(
    "--voices", callback=_pair, default=",".join(_VOICES), show_default=True, metavar="FIRST,SECOND", panel="Speech",
    help="Their voices.",
)  # fmt: skip
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, allow_dash=True), metavar="FILE", panel="Debate",
    help="JSON file to write; - is standard output.",
)  # fmt: skip
@click.option(
    "--context", "documents", multiple=True, metavar="FILE", panel="Debate",
    type=click.Path(exists=True, dir_okay=False),
    help="Text, Markdown or PDF whose passages the speakers read; may be repeated.",
)  # fmt: skip
@click.option(
    "--models", callback=_pair, metavar="FIRST,SECOND", panel="Server",
    help="Models to use. Default: the server's first chat model for both.",
)  # fmt: skip
@server_options
def debate(topic: str, url: str, api_key: str | None, **options: Any) -> None:
    """Let two speakers debate a topic on a running server.

    TOPIC is a claim, such as "Cities are better without cars". The terminal shows both speakers side by side; with
    --speak or -o they speak.
    """
    from rich.console import Console

    from server.cli._running.client import Client, ClientError
    from server.cli._speech_file import heard
    from server.cli.debate.stage import make_stage

    if not topic.strip():
        fail("no topic: the text is empty")
    playback = _playback() if options["speak"] else None
    folder = _folder(options["output"])
    statements: list[Statement] = []
    try:
        with heard(playback), closing(Client(url, api_key)) as client:
            held = _debate(topic.strip(), client, options, spoken=playback is not None or folder is not None)
            statements = held.statements
            console = Console(stderr=options["json_file"] == "-")
            with _documents(client, options["documents"]) as held.store, make_stage(console, held) as stage:
                _run(held, stage, playback, folder)
    except ClientError as error:
        fail(printable(str(error)))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        _deliver(topic.strip(), statements, folder, options["json_file"])


def _debate(topic: str, client: Client, options: dict[str, Any], *, spoken: bool) -> Debate:
    from server.cli.debate.turns import Debate, Speaker

    models = options["models"]
    if models is None:
        known = client.models()
        if not known:
            fail(f"{client.url} serves no chat model")
        models = (known[0], known[0])
    if spoken and not client.models("speech"):
        fail(f"{client.url} serves no speech model; leave out --speak and -o")
    first, second = (
        Speaker(name=name, side=side, model=model, voice=voice)
        for name, side, model, voice in zip(options["names"], _SIDES, models, options["voices"], strict=True)
    )
    asked = {
        "temperature": options["temperature"],
        "max_tokens": options["max_tokens"],
        "max_spoken_seconds": options["max_seconds"] if spoken else None,
    }
    return Debate(
        client=client,
        topic=topic,
        speakers=(first, second),
        rounds=options["rounds"],
        spoken=spoken,
        seed=options["seed"],
        sampling={name: value for name, value in asked.items() if value is not None},
    )


def _documents(client: Client, paths: Sequence[str]) -> AbstractContextManager[str | None]:
    """The vector store of these files for the block; None without files."""
    from server.cli._running.documents import stored

    return stored(client, [Path(path) for path in paths]) if paths else nullcontext()


def _run(held: Debate, stage: Stage, playback: Playback | None, folder: Path | None) -> None:
    """Hold the debate. A statement's file is written as soon as it is complete."""
    from server.cli._running.client import Sound

    for statement, items in held.turns():
        stage.update(statement, "thinks")
        for item in items:
            if isinstance(item, Sound) and playback is not None:
                playback.add(item.pcm)
            stage.update(statement, "speaks" if statement.sound else "writes" if statement.text else "thinks")
        stage.end(statement)
        if folder is not None:
            name = f"{len(held.statements):02d}-{_file_name(statement.speaker.name)}.wav"
            _write(folder / name, _wav(statement.sound))


def _playback() -> Playback:
    from server.cli._speech_file import PCM_FORMAT, Playback, player

    chosen = player(PCM_FORMAT)
    if chosen is None:
        fail("no program on this machine plays sound; install ffmpeg, or write files with -o")
    return Playback(chosen, PCM_FORMAT)


def _folder(path: str | None) -> Path | None:
    if path is None:
        return None
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")
    return folder


def _deliver(topic: str, statements: Sequence[Statement], folder: Path | None, json_file: str | None) -> None:
    """Write what there is of the debate, also of one that was interrupted."""
    if folder is not None and statements:
        _write(folder / "debate.wav", _wav(b"".join(statement.sound for statement in statements)))
    if json_file is None:
        return
    record = {"topic": topic, "statements": [statement.record() for statement in statements]}
    data = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    if json_file == "-":
        sys.stdout.write(data)
    else:
        _write(Path(json_file), data.encode())


def _wav(pcm: bytes) -> bytes:
    import io
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(pcm)
    return buffer.getvalue()


def _file_name(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name.lower())


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")
