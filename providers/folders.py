"""Folders of the server: the one for everything that can be made or fetched again, and those for what clients sent."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "private_folder"]


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/mlx-openai-server`, by default under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # By the XDG specification, a relative path counts as unset.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "mlx-openai-server"


def private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, and such parents as are missing: `mkdir` gives those to everyone."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
