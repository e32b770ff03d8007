"""Error messages and exit statuses of the commands."""

from __future__ import annotations

from typing import NoReturn

import rich_click as click

__all__ = ["INTERRUPTED", "UNUSABLE", "fail", "printable", "size_text"]

UNUSABLE = 2
"""Exit status: an option or setting cannot be used."""
INTERRUPTED = 130
"""Exit status: Ctrl-C before the work was finished."""

_KEPT = {"\n", "\t"}


def fail(message: str, status: int = 1) -> NoReturn:
    """Print one line on standard error and exit with `status`."""
    click.echo(f"Error: {message}", err=True)
    raise SystemExit(status)


def size_text(size: int) -> str:
    """A size in bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def printable(text: str) -> str:
    """Text without control characters: output of a model or server must not control the terminal."""
    return "".join(c for c in text if c in _KEPT or not (ord(c) < 32 or 127 <= ord(c) < 160))
