"""The engine without a server: a child process that runs the same batches in-process, for the ceiling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from server.bench.client import Workload
from server.bench.load import LoadResult

__all__ = ["EngineDriver"]


class EngineDriver:
    """Talks JSON lines with `python -m providers.engines.bench`, which owns mlx (this process never imports it)."""

    def __init__(self, model: Path, log: Path) -> None:
        self._model = model
        self._log = log

    def __enter__(self) -> EngineDriver:
        command = [sys.executable, "-m", "providers.engines.bench", str(self._model)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, workload: Workload, streams: int) -> LoadResult:
        """Generate `streams` answers in one batch, all prompts inserted at once."""
        bodies = [workload.body(index) for index in range(streams)]
        answer = self._ask(
            {"do": "generate", "chats": [b["messages"] for b in bodies], "max_tokens": workload.max_tokens}
        )
        return LoadResult(
            concurrency=streams,
            requests=streams,
            errors=0,
            tokens=answer["tokens"],
            seconds=answer["seconds"],
            tokens_per_second=answer["tokens"] / answer["seconds"],
            first_token_p50=answer["first_token_seconds"],
            first_token_p95=answer["first_token_seconds"],
            inter_token_p50=answer["step_p50"],
            inter_token_p95=answer["step_p95"],
        )

    def widen(self, folder: Path) -> Path:
        """Save the weights as this project's engine holds them (widened on Linux CPU) as an MLX folder."""
        self._ask({"do": "save", "folder": str(folder)})
        return folder

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(question) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine driver ended: see {self._log}")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer
