"""Files of settings for tests."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str) -> dict[str, str]:
    """Write a configuration file. Returns the environment that names it."""
    path.write_text(text)
    return {"CONFIG_FILE": str(path)}
