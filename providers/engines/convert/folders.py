"""What all converters share: folders that appear complete, JSON files, and progress as JSON lines."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["print_progress", "write_json", "written_whole"]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


@contextlib.contextmanager
def written_whole(destination: Path) -> Iterator[Path]:
    """A folder beside the destination. It replaces the destination when the block succeeds, else it is deleted."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{destination.name}.partial-", dir=destination.parent))
    try:
        made, old = work / "made", work / "old"
        made.mkdir()
        yield made
        if destination.exists():
            destination.rename(old)
        try:
            made.rename(destination)
        except OSError:
            # Another process may have finished the same conversion meanwhile: use its folder.
            if not (destination / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def print_progress(stage: str, fraction: float | None) -> None:
    print(json.dumps({"stage": stage, "fraction": fraction}), flush=True)
