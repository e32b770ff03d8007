"""The engine without a server: a child process that runs the same batches in-process, for the ceiling."""

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


class EngineFailed(Exception):
    """The child process ended; the message holds the end of its log."""


class EngineDriver:
    """Drives `python -m providers.engines.language.bench`, which owns mlx. This process never imports it.

    A contender of a sweep. The first question waits until the model is loaded.
    """

    name = "in-process"
    model = ""

    def __init__(self, model: Path, log: Path) -> None:
        self._folder = model
        self._log = log

    def __enter__(self) -> EngineDriver:
        command = [sys.executable, "-m", "providers.engines.language.bench", str(self._folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        # Whatever it computes now, nobody waits for.
        self._process.terminate()
        self._process.communicate()

    def run(
        self, workload: Workload, streams: int, requests: int, on_done: Callable[[Sample], None] = lambda _: None
    ) -> LoadResult:
        """Generate `requests` answers in batches of `streams`, the prompts of a batch inserted at once.

        Raises:
            EngineFailed: the model cannot be loaded, or the process broke down.
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
        """Save the weights as this project's engine holds them (widened on Linux CPU) as an MLX folder."""
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
    """`began`: when the batch did, in seconds since the run did."""
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
