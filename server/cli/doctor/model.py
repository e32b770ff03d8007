"""How a model divides among ranks, and what each would hold."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import get_args

from providers.memory.estimate import estimate
from providers.memory.part import Split, Way
from providers.spec import ModelSpec
from providers.weights import WeightsError, find_local
from server.cli._output import printable, size_text
from server.cli._running.probe import Finding, State

__all__ = ["divide"]

_SECONDS = 600.0


def divide(path: str, ranks: int) -> list[Finding]:
    """One finding per way to divide a model; a problem if there is none."""
    try:
        folder = find_local(path)
    except WeightsError as error:
        return [Finding(path, str(error), "problem")]
    if folder is None:
        return [Finding(path, f"not on this machine; `mlx-openai-server models pull {path}` fetches it", "problem")]
    if folder.is_file():
        return [Finding(path, "mlx-lm answers for folders only; a file is converted when it is served", "note")]
    command = [sys.executable, "-P", "-m", "providers.engines.group.shardable", str(folder), str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return [Finding(path, printable(lines[-1]), "problem")]
    refusals: dict[Way, str | None] = json.loads(done.stdout.strip().splitlines()[-1])
    refused: State = "problem" if all(refusals.values()) else "note"
    ways: tuple[Way, ...] = get_args(Way)
    return [
        Finding(way, _size(path, way, ranks)) if refusals[way] is None else Finding(way, refusals[way] or "", refused)
        for way in ways
    ]


def _size(path: str, way: Way, ranks: int) -> str:
    size = estimate(ModelSpec(name="model", path=path), Split(way, ranks))
    return "divides" if size is None else f"{size_text(size)} per rank, before any prompt"
