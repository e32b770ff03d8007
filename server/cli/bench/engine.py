"""The engine without a server: a child process that runs the same batches in-process, as the upper bound."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from server.cli.bench.client import Sample, Workload
from server.cli.bench.load import LoadResult

__all__ = ["EngineDriver", "EngineFailed"]

_ENDING_SECONDS = 15.0


class EngineFailed(Exception):
    """Raised when the child process has ended; the message holds the end of its log."""


class EngineDriver:
    """Driver of `python -m providers.engines.bench`, which imports mlx; this process never does.

    It is a contender of a sweep. The first call of `run` waits until the model is loaded.
    """

    name = "in-process"
    model = ""

    def __init__(self, model: Path, log: Path) -> None:
        self._folder = model
        self._log = log

    def __enter__(self) -> EngineDriver:
        command = [sys.executable, "-m", "providers.engines.bench", str(self._folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        # No caller waits for a running computation.
        self._process.terminate()
        try:
            self._process.communicate(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def run(
        self, workload: Workload, streams: int, requests: int, on_done: Callable[[Sample], None] = lambda _: None
    ) -> LoadResult:
        """Generate `requests` answers in batches of `streams`; the prompts of a batch are inserted together.

        Raises:
            EngineFailed: the model cannot be loaded, or the process failed.
        """
        samples: list[Sample] = []
        for first in range(0, requests, streams):
            batch = range(first, min(first + streams, requests))
            asked = {
                "do": "generate",
                "chats": [workload.messages(index) for index in batch],
                "max_tokens": workload.max_tokens,
            }
            began = max((sample.ended for sample in samples), default=0.0)
            for answer in self._ask(asked)["answers"]:
                samples.append(_sample(answer, began))
                on_done(samples[-1])
        return LoadResult.of(streams, samples, workload.max_tokens)

    def widen(self, folder: Path) -> Path:
        """Save the weights in the engine's data type (widened on Linux CPU) as an MLX folder."""
        self._ask({"do": "save", "folder": str(folder)})
        return folder

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(question) + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise EngineFailed(f"the engine ended:\n{_tail(self._log)}")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer


def _sample(answer: dict[str, Any], began: float) -> Sample:
    """`began`: start of the batch, in seconds since the run began."""
    times = tuple(began + seconds for seconds in answer["seconds"])
    return Sample(
        started=began,
        ended=times[-1],
        chunks=times,
        completion_tokens=len(times),
        prompt_tokens=answer["prompt_tokens"],
    )


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
