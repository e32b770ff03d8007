"""The folder for everything that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/mlx-openai-server`, by default under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # By the XDG specification, a relative path counts as unset.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "mlx-openai-server"
