"""Options of the commands that run a model themselves, and how these commands find it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from server.cli._output import INTERRUPTED, fail

__all__ = ["model_path_option", "resolve_model", "rounds_option"]

F = TypeVar("F", bound=Callable[..., Any])

_EMBEDDED = "embedded:smollm2-135m-instruct"

model_path_option = click.option(
    "--model-path", default=_EMBEDDED, show_default=True, metavar="MODEL", help="MLX model to measure."
)


def rounds_option(default: int) -> Callable[[F], F]:
    return click.option(
        "--rounds",
        type=click.IntRange(1, 50),
        default=default,
        show_default=True,
        help="Number of rounds; results are medians.",
    )


def resolve_model(model_path: str) -> Path:
    """The model's folder, fetched if necessary. From here on SIGTERM acts like Ctrl-C, so that the command ends the
    processes that it started."""
    import signal

    from providers.weights import WeightsError, resolve, terminal_progress

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with terminal_progress() as progress:
            return resolve(model_path, progress)
    except WeightsError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
