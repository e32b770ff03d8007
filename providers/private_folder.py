"""Folders for what clients sent."""

from __future__ import annotations

from pathlib import Path

__all__ = ["private_folder"]


def private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, and such parents as are missing: `mkdir` gives those to everyone."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
