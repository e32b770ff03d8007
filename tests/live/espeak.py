"""espeak-ng of this machine, or installed by its package manager."""

from __future__ import annotations

from tests.debian import INSTALL_SECONDS, find_program

__all__ = ["INSTALL_SECONDS", "find_espeak"]


def find_espeak() -> str | None:
    """Path of this machine's espeak-ng, or of one that its package manager installs, where that is allowed."""
    return find_program("espeak-ng")
