"""`doctor`: what this machine offers and what is missing."""

from __future__ import annotations

import rich_click as click

__all__ = ["doctor"]


@click.command()
def doctor() -> None:
    """Show what this machine offers and what is missing."""
