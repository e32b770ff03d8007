"""`speak`: synthesize speech with a running server, into a file or through the loudspeaker."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import rich_click as click

from server.cli._output import INTERRUPTED, fail, printable
from server.cli._running.server import server_options

if TYPE_CHECKING:
    from server.cli._running.client import Client
    from server.cli._speech_file import Playback

__all__ = ["speak"]

SAMPLE_RATE = 24_000
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
_SUFFIXES = {".ogg": "opus", ".oga": "opus", **{f".{name}": name for name in FORMATS}}


@click.command()
@click.argument("text", required=False)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, allow_dash=True), metavar="FILE", panel="Speech",
    help="Audio file to write; - is standard output. The extension chooses the format.",
)  # fmt: skip
@click.option("--play", is_flag=True, panel="Speech", help="Play the audio while it arrives.")
@click.option("--voice", metavar="NAME", panel="Speech", help="Voice, or a mix such as af_heart:0.6,am_michael:0.4.")
@click.option(
    "--language", metavar="NAME", panel="Speech", help="Language, such as es or Spanish. Default: the voice's."
)
@click.option(
    "--format", "audio_format", type=click.Choice(FORMATS), panel="Speech",
    help="Audio format. Default: by the file's extension, else wav.",
)  # fmt: skip
@click.option("--speed", type=float, metavar="NUMBER", panel="Speech", help="0.25 to 4; 2 is twice as fast.")
@click.option(
    "--visemes", type=click.Path(dir_okay=False), metavar="FILE", panel="Speech",
    help="JSON file to write: times of words and of mouth shapes (visemes).",
)  # fmt: skip
@click.option(
    "--viseme-set", type=click.Choice(("oculus", "azure", "arkit", "rhubarb")), panel="Speech",
    help="Names of the mouth shapes. Default: oculus.",
)  # fmt: skip
@click.option("--model", metavar="NAME", panel="Server", help="Model to use. Default: the server's first speech model.")
@server_options
def speak(text: str | None, url: str, api_key: str | None, model: str | None, **options: Any) -> None:
    """Synthesize speech with a running server.

    The speech of TEXT, or of piped text, goes into a file (-o), to the loudspeaker (--play), or both.
    """
    from server.cli._running.client import Client, ClientError
    from server.cli._speech_file import heard

    text = text if text is not None else _piped()
    if not text.strip():
        fail("no text to speak: the text is empty")
    if not text.isascii() and text != text.encode(errors="ignore").decode():
        fail("the text is not in UTF-8")
    job = _job(text, options)
    playback = _playback(job)
    try:
        with heard(playback), closing(Client(url, api_key)) as client:
            body = {**job.body, "model": model or _first_model(client)}
            audio, timings = _spoken(client, body, playback)
            _deliver(job, audio, timings)
    except ClientError as error:
        fail(printable(str(error)))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


@attrs.frozen(kw_only=True)
class _Job:
    """The request and the destinations of its result."""

    body: dict[str, Any]
    audio_format: str
    output: str | None
    visemes: str | None
    play: bool


def _piped() -> str:
    return "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()


def _job(text: str, options: dict[str, Any]) -> _Job:
    output, play, visemes = options["output"], options["play"], options["visemes"]
    if output is None and not play and visemes is None:
        fail("no output: name a file with -o, or use --play")
    for path in (output, visemes):
        if path not in (None, "-") and not Path(path).absolute().parent.is_dir():
            fail(f"cannot write {path}: its folder does not exist")
    suffix = "" if output in (None, "-") else Path(output).suffix.lower()
    audio_format = options["audio_format"] or _SUFFIXES.get(suffix) or "wav"
    asked = {name: options[name] for name in ("voice", "language", "speed", "viseme_set")}
    body = {
        "input": text,
        "response_format": audio_format,
        "include_visemes": True,
        **{name: value for name, value in asked.items() if value is not None},
    }
    return _Job(body=body, audio_format=audio_format, output=output, visemes=visemes, play=play)


def _first_model(client: Client) -> str:
    names = client.models("speech")
    if not names:
        fail(f"{client.url} serves no speech model")
    return names[0]


def _playback(job: _Job) -> Playback | None:
    from server.cli._speech_file import Playback, player

    if not job.play:
        return None
    chosen = player(job.audio_format)
    if chosen is None:
        fail(f"no program on this machine plays {job.audio_format}; install ffmpeg, or write a file with -o")
    return Playback(chosen, job.audio_format)


def _spoken(client: Client, body: dict[str, Any], playback: Playback | None) -> tuple[bytes, dict[str, Any]]:
    """The audio file and the times of its words and visemes. Shows a bar that advances by sentences."""
    import base64

    from server.cli._speech_file import with_length

    audio = bytearray()
    timings: dict[str, Any] = {"words": [], "visemes": []}
    with closing(client.speech(body)) as events, _bar() as advance:
        for event in events:
            portion = base64.b64decode(event.get("audio", ""))
            audio += portion
            if playback is not None and portion:
                playback.add(portion)
            for name in ("words", "visemes"):
                timings[name] += event.get(name, [])
            advance(event)
    samples = round(event["duration"] * SAMPLE_RATE)
    return with_length(body["response_format"], bytes(audio), samples), {
        "model": event["model"],
        "sample_rate": SAMPLE_RATE,
        "duration": event["duration"],
        **timings,
    }


@contextmanager
def _bar() -> Generator[Any]:
    """A function to call with every event; it draws only on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Speaking"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("sentences"),
        TimeElapsedColumn(), TextColumn("{task.fields[text]}", markup=False),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None, text="")

        def advance(event: dict[str, Any]) -> None:
            if "piece" in event:
                shown = printable(event["text"]).replace("\n", " ")[:40]
                progress.update(task, completed=event["piece"], total=event.get("pieces"), text=shown)

        yield advance


def _deliver(job: _Job, audio: bytes, timings: dict[str, Any]) -> None:
    import json

    if job.visemes is not None:
        _write(job.visemes, json.dumps(timings, ensure_ascii=False, indent=1).encode() + b"\n")
    if job.output == "-":
        sys.stdout.buffer.write(audio)
        sys.stdout.buffer.flush()
    elif job.output is not None:
        _write(job.output, audio)
        click.echo(f"{job.output}: {timings['duration']:.2f} s of {job.audio_format}", err=True)


def _write(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")
