"""`image`: paint or edit an image with a running server, into a file or in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import rich_click as click

from server.cli._output import INTERRUPTED, fail, printable
from server.cli._running.server import server_options
from server.cli._terminal_images import Protocol, protocol_of, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from server.cli._running.client import Client, Step

__all__ = ["image"]

FORMATS = ("png", "jpeg", "webp")
_SUFFIXES = {".jpg": "jpeg", **{f".{name}": name for name in FORMATS}}
_PREVIEWS = 3
_SENT = ("size", "steps", "seed", "guidance", "negative_prompt", "n", "strength")
"""Options that the request has under the same name."""


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, allow_dash=True), metavar="FILE", panel="Image",
    help="Image file to write; - is standard output. The extension chooses the format. Several images are numbered.",
)  # fmt: skip
@click.option(
    "--edit", "edits", type=click.Path(exists=True, dir_okay=False), multiple=True, metavar="FILE", panel="Image",
    help="Image to change. May be repeated.",
)  # fmt: skip
@click.option(
    "--mask", type=click.Path(exists=True, dir_okay=False), metavar="FILE", panel="Image",
    help="Mask of the image: its transparent (or else white) parts change.",
)  # fmt: skip
@click.option(
    "--size", metavar="WxH", panel="Image", help="Size, such as 1024x768. Default: 1024x1024, or the source's."
)
@click.option("--steps", type=int, metavar="NUMBER", panel="Image", help="Denoising steps. Default: the model's.")
@click.option(
    "--seed", type=int, metavar="NUMBER", panel="Image", help="Equal seeds give equal images. Default: drawn."
)
@click.option("-n", "n", type=int, metavar="NUMBER", panel="Image", help="Number of images. Default: 1.")
@click.option("--guidance", type=float, metavar="NUMBER", panel="Image", help="How closely to follow the prompt.")
@click.option("--negative-prompt", metavar="TEXT", panel="Image", help="What the image must not show.")
@click.option("--strength", type=float, metavar="NUMBER", panel="Image", help="0 to 1: how much of the source stays.")
@click.option(
    "--format", "output_format", type=click.Choice(FORMATS), panel="Image",
    help="Image format. Default: by the file's extension, else png.",
)  # fmt: skip
@click.option(
    "--preview/--no-preview", default=None, panel="Image",
    help="Show the image in the terminal while it is made. Default: if the terminal can (kitty, iTerm2).",
)  # fmt: skip
@click.option(
    "--model",
    metavar="NAME",
    panel="Server",
    help="Model to use. Default: the server's first that generates, or edits.",
)
@click.option(
    "--launch", "launched", metavar="OPTIONS", panel="Server",
    help="Start a server with these options of launch, and end it afterwards. Default: a running server.",
)  # fmt: skip
@server_options
def image(
    prompt: str | None, url: str, api_key: str | None, model: str | None, launched: str | None, **options: Any
) -> None:
    """Paint an image with a running server, or with one for this image.

    PROMPT, or piped text, says what the image shows, or how to change the image of --edit.
    """
    from server.cli._running.client import Client, ClientError
    from server.cli._running.started import started

    prompt = prompt if prompt is not None else _piped()
    if not prompt.strip():
        fail("no prompt: describe the image")
    job = _job(prompt, options)
    try:
        with (
            started(launched) if launched is not None else nullcontext(url) as url,
            closing(Client(url, api_key)) as client,
        ):
            _paint(
                client,
                attrs.evolve(
                    job, body={**job.body, "model": model or _first_model(client, edits=bool(options["edits"]))}
                ),
            )
    except ClientError as error:
        fail(printable(str(error)))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


@attrs.frozen(kw_only=True)
class _Job:
    """The request and the destinations of its images."""

    body: dict[str, Any]
    files: list[tuple[str, Path]]
    output: str | None
    preview: Protocol | None

    def output_of(self, index: int) -> str | None:
        """The file of an image: `cube.png`, or `cube-1.png`, `cube-2.png` of several."""
        if self.output in (None, "-") or self.body.get("n", 1) == 1:
            return self.output
        path = Path(self.output)
        return str(path.with_name(f"{path.stem}-{index + 1}{path.suffix}"))


def _piped() -> str:
    return "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()


def _job(prompt: str, options: dict[str, Any]) -> _Job:
    output = options["output"]
    suffix = "" if output in (None, "-") else Path(output).suffix.lower()
    output_format = options["output_format"] or _SUFFIXES.get(suffix) or "png"
    preview = _preview(options["preview"], output_format)
    if output is None and preview is None:
        fail("no output: name a file with -o")
    if output not in (None, "-") and not Path(output).absolute().parent.is_dir():
        fail(f"cannot write {output}: its folder does not exist")
    if output == "-" and (options["n"] or 1) > 1:
        fail("several images need a file: standard output takes one")
    if not options["edits"] and options["mask"] is not None:
        fail("--mask needs --edit, the image that it is of")
    body = {"prompt": prompt, "output_format": output_format}
    body |= {name: options[name] for name in _SENT if options[name] is not None}
    if preview is not None:
        body["partial_images"] = _PREVIEWS
    files = [("image[]", Path(path)) for path in options["edits"]]
    if options["mask"] is not None:
        files.append(("mask", Path(options["mask"])))
    return _Job(body=body, files=files, output=output, preview=preview)


def _preview(wanted: bool | None, output_format: str) -> Protocol | None:
    """The protocol to show images with. None: they are not shown.

    `wanted` None: they are shown if standard error is a terminal that can.
    """
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        return None
    protocol = protocol_of(os.environ)
    if protocol == "kitty" and output_format != "png":
        protocol = None
    if wanted and protocol is None:
        fail("this terminal shows no images; kitty and iTerm2 do (kitty only png)")
    return protocol


def _first_model(client: Client, *, edits: bool) -> str:
    """A model that does what is wanted, or else any: one that is not loaded may not list all that it does."""
    names = client.models("image_edit" if edits else "image_generation") or client.models("image")
    if not names:
        fail(f"{client.url} serves no image model")
    return names[0]


def _paint(client: Client, job: _Job) -> None:
    import base64

    with closing(client.images(job.body, job.files)) as events, _screen(job.preview) as screen:
        for event in events:
            if not isinstance(event, dict):
                screen.advance(event)
                continue
            screen.show(event)
            if event["type"].endswith(".completed"):
                _deliver(job, event, base64.b64decode(event["b64_json"]), screen)


@attrs.define
class _Screen:
    """The bar, and the images above it."""

    console: Console
    progress: Progress
    task: TaskID
    preview: Protocol | None
    index: int | None = None
    """The image that was shown last."""

    def advance(self, step: Step) -> None:
        number = f" {step.image}/{step.images}" if step.images > 1 else ""
        self.progress.update(self.task, completed=step.step, total=step.steps, number=number)

    def show(self, event: dict[str, Any]) -> None:
        if self.preview is None:
            return
        over, self.index = event["index"] == self.index, event["index"]
        self.progress.stop()
        self.console.file.write(shown(event["b64_json"], self.preview, over=over))
        self.console.file.flush()
        self.progress.start()

    def line(self, text: str) -> None:
        """A line above the bar, and below the image that it is about."""
        self.index = None
        self.progress.stop()
        click.echo(text, err=True)
        self.progress.start()


@contextmanager
def _screen(preview: Protocol | None) -> Generator[_Screen]:
    """A bar that advances by steps; it draws only on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Painting{task.fields[number]}"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("steps"),
        TimeElapsedColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Screen(console, progress, progress.add_task("", total=None, number=""), preview)


def _deliver(job: _Job, event: dict[str, Any], data: bytes, screen: _Screen) -> None:
    output = job.output_of(event["index"])
    if output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    about = f"{event['size']}, seed {event['seed']}, {event['steps']} steps"
    if output is not None:
        try:
            Path(output).write_bytes(data)
        except OSError as error:
            fail(f"cannot write {output}: {error.strerror}")
        about = f"{output}: {about}"
    screen.line(printable(about))
