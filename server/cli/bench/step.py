"""The parts of a decode step, measured by a child process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

import msgspec

__all__ = ["Part", "StepFailed", "measure_step"]

Part = tuple[str, int, str, float, float | None]
"""Whose step, number of sequences, name, milliseconds, and the least milliseconds that the device takes."""


class StepFailed(Exception):
    """Raised when the child process failed; the message is the end of what it wrote."""


def measure_step(model: str | None, shape: str | None, sequences: Sequence[int], context: int) -> Iterator[Part]:
    """Run `python -m providers.engines.step_bench`. Yields each part as soon as it is measured.

    Raises:
        StepFailed: the model cannot be loaded, or the process failed.
    """
    command = [sys.executable, "-m", "providers.engines.step_bench", *([] if model is None else [model])]
    command += [] if shape is None else ["--random", shape]
    command += ["--context", str(context), "--sequences", *map(str, sequences)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                yield msgspec.json.decode(line, type=Part)
            errors = process.stderr.read().decode(errors="replace")
        finally:
            process.terminate()
    if process.returncode > 0:
        raise StepFailed("\n".join(errors.splitlines()[-5:]))
